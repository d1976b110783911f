import { openMandate, verifyReversal } from '../../adapters/jose/mandate-jws';
import { importMandateJwks, publicJwkOf } from '../../adapters/jose/mandate-keys';
import type { MandateVerificationKeys } from '../../adapters/jose/mandate-keys';
import type { Ed25519MandateSigner } from '../../adapters/jose/mandate-signer';
import { verdictOpener } from '../../adapters/jose/verdict-statement';
import type { AuditEvent } from '../../domain/audit-event';
import { formatEvidence, parseEvidence } from '../../domain/evidence';
import type { KeptReversal } from '../../domain/ports';
import { verifiedStory } from '../../domain/request-story';
import { EvidenceLog } from '../support/evidence-log';
import { agent, WorkerSteps } from '../support/worker-steps';
import type { Asked } from '../support/worker-steps';

const BROKER = 'spiffe://corp.example/broker';
const PARTIES = { issuer: 'spiffe://corp.example/agentauth', audience: BROKER };
const ORDER = {
  by: 'finance-bot',
  act: 'erp.order.create',
  params: { order_id: 'SO-9', customer_id: 'C-42', amount: 40 },
};
const REVERSAL = { act: 'erp.order.cancel', con: { params: { order_id: 'SO-9' }, limits: {} } };

let steps: WorkerSteps;
let keys: MandateVerificationKeys;

beforeAll(async () => {
  steps = await WorkerSteps.open();
  const { publicKey } = steps.ports.signer as Ed25519MandateSigner;
  keys = importMandateJwks({ keys: [await publicJwkOf(publicKey)] });
});
afterAll(() => steps.close());

async function issued(): Promise<{
  asked: Asked;
  statements: readonly string[];
  mandate: string;
  kept: KeptReversal;
}> {
  const asked = await steps.ask({ ...ORDER, reversal: true });
  const statements = await steps.counted(asked, await steps.statement(asked, 'bob', 'compliance'));
  const issuance = await steps.collect(asked, statements);
  if (issuance.outcome !== 'issued') throw new Error(JSON.stringify(issuance));
  const kept = steps.ledger.reversals.get(issuance.jti);
  if (!kept) throw new Error('its reversal was not kept');
  return { asked, statements, mandate: issuance.mandate, kept };
}

describe('an action with its reversal', () => {
  it('has the reversal among what approvers sign for, with the values that are reversed', async () => {
    const asked = await steps.ask({ ...ORDER, reversal: true });
    expect(asked.assessment.toApprove).toMatchObject({ act: ORDER.act, reversal: REVERSAL });
    expect((await steps.ask(ORDER)).assessment.toApprove).not.toHaveProperty('reversal');
  });

  it('does not count a verdict over the action alone', async () => {
    const asked = await steps.ask({ ...ORDER, reversal: true });
    const { req, sub, act, con, leg, ticket, aud } = asked.assessment.toApprove;
    const toApprove = { req, sub, act, con, leg, ticket, aud };
    const other = { ...asked, assessment: { ...asked.assessment, toApprove } };
    const outcome = await steps.record(asked, await steps.statement(other, 'bob', 'compliance'));
    expect(outcome).toMatchObject({ outcome: 'refused', code: 'verdict_digest_mismatch' });
  });

  it('is issued as two mandates: one for the agent, and one that is kept for the broker', async () => {
    const { mandate, kept } = await issued();
    const claims = openMandate(mandate, keys, PARTIES);
    const reversal = verifyReversal(kept.mandate, keys, { ...PARTIES, now: steps.now });
    expect(claims).toMatchObject({ sub: agent('finance-bot'), act: ORDER.act, rev: REVERSAL });
    expect(reversal).toEqual({
      ...reversal,
      ...REVERSAL,
      ...{ sub: BROKER, aud: BROKER, req: claims.req, leg: claims.leg, tier: claims.tier, iat: claims.iat },
      rev: { jti: claims.jti, act: ORDER.act, sub: agent('finance-bot') },
    });
    expect(reversal).not.toHaveProperty('cnf');
    expect(reversal.jti).not.toBe(claims.jti);
    expect(reversal.jti).toBe(claims.rev?.jti);
  });

  it('lives five minutes at the most, the action less, so that its failure can be answered', async () => {
    const { mandate, kept } = await issued();
    const { iat, exp, rev } = openMandate(mandate, keys, PARTIES);
    expect([exp - iat, (rev?.exp ?? 0) - iat]).toEqual([210, 300]);
    expect(kept.claims.exp - kept.claims.iat).toBe(300);
  });

  it('takes neither mandate for the other', async () => {
    const { mandate, kept } = await issued();
    expect(() => openMandate(kept.mandate, keys, PARTIES)).toThrow(/its typ is not poa/);
    expect(() => verifyReversal(mandate, keys, { ...PARTIES, now: steps.now })).toThrow(/its typ is not poa/);
  });

  it('is the same pair, to the byte, when it is collected again', async () => {
    const { asked, statements, mandate, kept } = await issued();
    steps.ledger.reversals.clear();
    steps.later(1);
    expect(await steps.collect(asked, statements)).toMatchObject({ outcome: 'issued', mandate });
    expect([...steps.ledger.reversals.values()]).toEqual([kept]);
  });

  it('releases no mandate while its reversal cannot be kept', async () => {
    const asked = await steps.ask({ ...ORDER, reversal: true });
    const statements = await steps.counted(asked, await steps.statement(asked, 'bob', 'compliance'));
    const keep = jest.spyOn(steps.ledger, 'keepReversal').mockRejectedValueOnce(new Error('down'));
    await expect(steps.collect(asked, statements)).rejects.toThrow('down');
    keep.mockRestore();
    const again = await steps.collect(asked, statements);
    expect(again).toMatchObject({ outcome: 'issued' });
    expect(again.outcome === 'issued' && steps.ledger.reversals.has(again.jti)).toBe(true);
  });

  it('is refused where nothing reverses the action', async () => {
    const asking = {
      by: 'finance-bot',
      act: 'erp.order.cancel',
      params: { order_id: 'SO-9' },
      reversal: true,
    } as const;
    await expect(steps.ask(asking)).rejects.toThrow('reversal_not_possible');
  });

  it('is proven by its evidence: what was signed, and both halves of what was issued', async () => {
    const { asked, kept } = await issued();
    const { requestId } = asked.request;
    const log = new EvidenceLog();
    const means = { logKeys: [log.signer], verdicts: verdictOpener, svids: steps.ports.svids };
    const told = async (events: readonly AuditEvent[]) =>
      verifiedStory(
        parseEvidence(Buffer.from(formatEvidence(await log.evidenceOf(requestId, await log.kept(events))))),
        means,
      );
    const events = await steps.ledger.events({ requestId, limit: 100 });
    const story = await told(events);
    expect(story.verdicts).toMatchObject([{ overContent: true }]);
    expect(story.mandate?.claims?.rev).toMatchObject({ ...REVERSAL, jti: kept.claims.jti });
    const other = events.map((event) =>
      event.type === 'poa_issued'
        ? {
            ...event,
            data: { ...event.data, reversal: { ...(event.data.reversal as object), jti: 'other' } },
          }
        : event,
    );
    await expect(told(other)).rejects.toMatchObject({ code: 'evidence_invalid' });
  });
});
