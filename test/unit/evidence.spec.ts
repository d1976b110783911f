import { generateSignerKey, parseVerifierKey, parseSignerKey } from '../../adapters/audit-log/note-key';
import { verdictOpener } from '../../adapters/jose/verdict-statement';
import type { AuditEvent, AuditEventType } from '../../domain/audit-event';
import { eventOfLeaf } from '../../domain/audit-leaf';
import type { Leaf } from '../../domain/audit-leaf';
import { canonicalJson } from '../../domain/canonical-json';
import { commitmentTo } from '../../domain/commitment';
import { sha256Base64url } from '../../domain/digest';
import {
  digestOf,
  formatEvidence,
  MAX_EVIDENCE_BYTES,
  notRedacted,
  parseEvidence,
  redacted,
} from '../../domain/evidence';
import type { Evidence } from '../../domain/evidence';
import type { JsonObject } from '../../domain/json';
import { closeLost } from '../../activities';
import { verifiedStory } from '../../domain/request-story';
import type { Story } from '../../domain/request-story';
import { signNote } from '../../domain/signed-note';
import { requireEachFlipFound } from '../support/byte-flips';
import { EvidenceLog } from '../support/evidence-log';
import { withBreakGlass } from '../support/policy';
import { PAYMENT, person, ROTATION, WorkerSteps } from '../support/worker-steps';
import type { Asking } from '../support/worker-steps';

let steps: WorkerSteps;
let log: EvidenceLog;

beforeAll(async () => {
  steps = await WorkerSteps.open();
  log = new EvidenceLog();
});
afterAll(() => steps.close());

/** What a broker would record of a use. */
function use(event: AuditEvent, type: AuditEventType, fact: string, data: JsonObject, at = 1): AuditEvent {
  return {
    ...event,
    id: `redemption/${fact}`,
    type,
    time: new Date(event.time.getTime() + at * 1000),
    actor: event.subject,
    reasons: [],
    personal: {},
    data,
  };
}

function redeemed(issued: AuditEvent, params: JsonObject, useId = 'u1', at = 1): AuditEvent {
  return use(
    issued,
    'poa_redeemed',
    `${useId}/redeemed`,
    {
      jti: issued.data.jti as string,
      ...{
        connector: 'sap',
        route: 'POST /payments',
        method: 'POST',
        target: 'https://sap.example/payments',
      },
      caller: issued.subject,
      params_digest: commitmentTo({
        salt: issued.data.salt as string,
        name: '/data/params_digest',
        value: params,
      }),
      policy_revision: issued.data.policy_revision as string,
    },
    at,
  );
}

/** A request with its verdicts, its mandate, and one use of it: its events, as they were recorded. */
async function story(asking: Asking, verdicts: readonly [string, string, object?][]): Promise<AuditEvent[]> {
  const asked = await steps.ask(asking);
  const statements: string[] = [];
  for (const [name, role, changes] of verdicts) {
    const statement = await steps.statement(asked, name, role, changes ?? {});
    expect(await steps.record(asked, statement, statements)).toMatchObject({ outcome: 'counted' });
    statements.push(statement);
  }
  const issuance = await steps.collect(asked, statements);
  expect(issuance.outcome).toBe('issued');
  const events = await steps.ledger.events({ requestId: asked.request.requestId, limit: 100 });
  const issued = events.at(-1) as AuditEvent;
  return [...events, redeemed(issued, asking.params ?? {})];
}

const critical = () =>
  story(ROTATION, [
    ['bob', 'compliance'],
    ['dave', 'security_lead', { attests: ['second_channel_verified'] }],
    ['erin', 'ciso', { verdict: 'release' }],
  ]);
const payment = () =>
  story({ ...PAYMENT, params: { amount: 1250 } }, [
    ['dave', 'security_lead'],
    ['bob', 'compliance'],
  ]);

const requestOf = (events: readonly AuditEvent[]) => events[0]?.requestId as string;
const evidenceOf = async (events: readonly AuditEvent[]) =>
  log.evidenceOf(requestOf(events), await log.kept(events));

function means() {
  return { logKeys: [log.signer], verdicts: verdictOpener, svids: steps.ports.svids };
}

async function verified(file: string | Uint8Array): Promise<Story> {
  return verifiedStory(parseEvidence(Buffer.from(file)), means());
}

/** The same with its digest made right again, as a forger would. */
const forged = (evidence: Evidence) => verified(formatEvidence(evidence));

const failure = (why: string | RegExp) =>
  expect.objectContaining({
    code: 'evidence_invalid',
    message: expect.stringMatching(why) as string,
  }) as Error;

describe('the evidence of a mandate', () => {
  it('proves the whole story with public keys alone', async () => {
    const events = await critical();
    const told = await verified(formatEvidence(await evidenceOf(events)));
    expect(told).toMatchObject({
      requestId: requestOf(events),
      agent: 'spiffe://corp.example/agent/explorer',
      action: 'security.master_key.rotate',
      verdicts: [
        {
          by: person('bob'),
          role: 'compliance',
          verdict: 'approve',
          reason: 'it is right',
          overContent: true,
        },
        { by: person('dave'), role: 'security_lead', verdict: 'approve', overContent: true },
        { by: person('erin'), role: 'ciso', verdict: 'release', overContent: true },
      ],
      mandate: {
        dualControl: true,
        tier: 'critical',
        approvers: [person('bob'), person('dave'), person('erin')],
        claims: { act: 'security.master_key.rotate', leg: { ticket: 'CHG-1' } },
      },
      redemptions: [{ connector: 'sap', givenBack: false }],
      revokedAt: null,
      end: null,
      withheld: [],
    });
  });

  it('tells the claims of the token that was given out, and all that policy was told', async () => {
    const asked = await steps.ask({ ...PAYMENT });
    const statements = await steps.counted(
      asked,
      await steps.statement(asked, 'dave', 'security_lead'),
      await steps.statement(asked, 'bob', 'compliance'),
    );
    const issuance = await steps.collect(asked, statements);
    if (issuance.outcome !== 'issued') throw new Error(issuance.outcome);
    const events = await steps.ledger.events({ requestId: asked.request.requestId, limit: 100 });
    const { mandate } = await verified(formatEvidence(await evidenceOf(events)));
    const payload = issuance.mandate.split('.')[1] as string;
    expect(mandate?.claims).toEqual(await steps.ports.mandates.open(issuance.mandate));
    expect(mandate?.digest).toBe(sha256Base64url(Buffer.from(payload, 'base64url')));
    const again = await steps.ports.policy.decide(mandate!.policyInput!);
    expect(again).toMatchObject({ effect: 'issue', policyRevision: mandate!.policyRevision });
  });

  it('proves a rejection as well', async () => {
    const asked = await steps.ask({ ...PAYMENT });
    const { requestId } = asked.request;
    await steps.record(asked, await steps.statement(asked, 'bob', 'compliance', { verdict: 'reject' }));
    await steps.activities.closeRequest({
      ...{ request: asked.request, agent: asked.assessment.agent, tier: asked.assessment.tier },
      ...{ state: 'rejected', actor: person('bob'), code: 'rejected', reasons: ['rejected'] },
    });
    const events = await steps.ledger.events({ requestId, limit: 100 });
    expect(await verified(formatEvidence(await evidenceOf(events)))).toMatchObject({
      verdicts: [{ verdict: 'reject', by: person('bob'), overContent: true }],
      mandate: null,
      end: { type: 'poa_rejected', reasons: ['rejected'] },
    });
  });

  it.each(['workflow_terminated', 'workflow_removed'] as const)(
    'proves that a request ended: %s',
    async (loss) => {
      const asked = await steps.ask({ ...PAYMENT });
      const { requestId } = asked.request;
      expect(await closeLost(steps.ports, { requestId, subject: asked.assessment.agent }, loss)).toBe(true);
      const events = await steps.ledger.events({ requestId, limit: 100 });
      expect(await verified(formatEvidence(await evidenceOf(events)))).toMatchObject({
        mandate: null,
        end: { type: 'poa_cancelled', reasons: [loss] },
      });
    },
  );

  it('proves a mandate of broken glass, and who broke it', async () => {
    const glass = await WorkerSteps.open((data) => {
      withBreakGlass(data, ['grace', 'carol']);
    });
    try {
      const asked = await glass.ask(PAYMENT);
      glass.later(3_600);
      const { request, assessment } = asked;
      await glass.activities.escalate({
        ...{ request, agent: assessment.agent, tier: 'high', rung: 1, roles: ['on_call'], pendingSince: 0 },
      });
      const reason = 'the plant stands still';
      const words = await glass.counted(
        asked,
        await glass.statement(asked, 'grace', 'break_glass', { reason }),
        await glass.statement(asked, 'carol', 'break_glass', { reason }),
      );
      expect((await glass.collect(asked, words)).outcome).toBe('issued');
      const events = await glass.ledger.events({ requestId: request.requestId, limit: 100 });
      expect(events.map(({ type }) => type)).toContain('poa_break_glass');
      const file = Buffer.from(formatEvidence(await evidenceOf(events)));
      const told = await verifiedStory(parseEvidence(file), { ...means(), svids: glass.ports.svids });
      expect(told).toMatchObject({
        verdicts: [
          { by: person('grace'), role: 'break_glass', reason },
          { by: person('carol'), role: 'break_glass', reason },
        ],
        mandate: { dualControl: true, approvers: [person('grace'), person('carol')] },
      });
      const decision = await glass.ports.policy.decide(told.mandate!.policyInput!);
      expect(decision.effect).toBe('issue');
    } finally {
      await glass.close();
    }
  });

  it('says of what an earlier version recorded that it cannot be verified, and not that it was tampered with', async () => {
    const events = await payment();
    for (const [type, names] of [
      ['poa_requested', ['asked']],
      ['poa_verdict_recorded', ['statement']],
      ['poa_issued_dual_control', ['verdicts', 'mandate_digest']],
    ] as const) {
      const kept = (await log.kept(events)).map(({ leaf: text, personal }) => {
        const leaf = JSON.parse(text) as Leaf;
        if (leaf.type !== type) return { leaf: text, personal };
        const data = Object.fromEntries(
          Object.entries(leaf.data).filter(([name]) => !(names as readonly string[]).includes(name)),
        );
        return { leaf: canonicalJson({ ...leaf, commitments: {}, data }), personal: null };
      });
      await expect(forged(await log.evidenceOf(requestOf(events), kept))).rejects.toMatchObject({
        code: 'evidence_unverifiable',
        message: expect.stringContaining(names.join(', ')) as string,
      });
    }
  });

  // All of them, one after the other, are in the integration suite.
  it('does not hold with a byte of its file flipped', async () => {
    await requireEachFlipFound(formatEvidence(await evidenceOf(await payment())), verified, 23);
  });

  it('does not hold with any of its values changed, though the file is made well again', async () => {
    const evidence = await evidenceOf(await payment());
    const texts = (value: unknown, path: readonly (string | number)[] = []): (string | number)[][] =>
      typeof value === 'object' && value !== null
        ? Object.entries(value).flatMap(([name, item]) => texts(item, [...path, name]))
        : [[...path]];
    const places = texts(evidence).filter(([first]) => first !== 'history');
    expect(places.length).toBeGreaterThan(50);
    for (const place of places) {
      const changed = structuredClone(evidence) as unknown as Record<string, never>;
      const last = place.at(-1) as string;
      const holder = place.slice(0, -1).reduce((within, name) => within[name] as never, changed);
      const value: unknown = holder[last];
      const other =
        typeof value === 'number'
          ? value + 1
          : `${String(value).slice(0, -1)}${String(value).endsWith('A') ? 'B' : 'A'}`;
      holder[last] = other as never;
      await expect(forged(changed as unknown as Evidence)).rejects.toMatchObject({
        code: expect.stringMatching(/^(evidence_invalid|checkpoint_(malformed|untrusted))$/) as string,
      });
    }
  });

  it('holds with what is personal redacted, and says what it does not tell', async () => {
    const whole = await evidenceOf(await payment());
    const bare = redacted(whole, ['']);
    const told = await forged(bare);
    expect(formatEvidence(bare)).not.toContain('person/');
    expect(told).toMatchObject({
      asked: null,
      verdicts: [
        { by: null, fact: null, overContent: false },
        { by: null, fact: null, overContent: false },
      ],
      mandate: { approvers: [null, null], claims: null, policyInput: null },
    });
    expect(told.withheld).toContain(`${told.requestId}/poa_issued /data/approvers/0`);

    const partly = redacted(whole, ['/data/asked/leg', '/data/asked/justification']);
    expect(await forged(partly)).toMatchObject({
      verdicts: [
        { by: person('dave'), overContent: false },
        { by: person('bob'), overContent: false },
      ],
      mandate: { approvers: [person('dave'), person('bob')] },
    });

    // Nor anything that guesses of it could be tried against.
    const { asked, mandate } = await verified(formatEvidence(whole));
    const digest = sha256Base64url(canonicalJson(asked));
    for (const guess of [digest, mandate?.claims?.salt]) {
      expect(formatEvidence(whole)).toContain(guess);
      expect(formatEvidence(redacted(whole, ['/actor']))).toContain(guess);
      expect(formatEvidence(partly)).not.toContain(guess);
      expect(formatEvidence(redacted(whole, ['/data/asked/leg/ref']))).not.toContain(guess);
    }

    const hidden = ['/data/asked/leg', '/actor', '/data/statement'];
    expect(notRedacted(whole, hidden)).toEqual({ shown: [], absent: [] });
    expect(notRedacted(bare, hidden)).toEqual({ shown: [], absent: [] });
    const stays = ['/action', '/data/asked/con/params', '/data/asked/leg/basis'];
    const nowhere = ['/data/nowhere', '/data/asked/justification', '/data/asked/con/limits'];
    expect(notRedacted(whole, [...stays, ...nowhere])).toEqual({ shown: stays, absent: nowhere });
  });

  it('leaves no digest in the log that anybody could find by trying what was asked', async () => {
    const whole = await evidenceOf(await payment());
    const { asked, mandate } = await verified(formatEvidence(whole));
    const leaves = whole.events.map(({ leaf }) => leaf).join('');
    for (const guess of [asked, asked?.con.params, mandate?.claims]) {
      expect(leaves).not.toContain(sha256Base64url(canonicalJson(guess as JsonObject | undefined)));
    }
    expect(leaves).not.toContain(mandate?.claims?.salt);
    // Without the salt neither the claims nor the use can be held against what was asked.
    expect(await forged(redacted(whole, ['/data/salt']))).toMatchObject({
      asked: { act: 'sap.payment.execute' },
      mandate: { claims: null },
      redemptions: [{ connector: 'sap' }],
    });
  });

  it('holds after a person was erased, and tells nothing of them', async () => {
    const kept = await log.kept(await payment());
    const requestId = requestOf(kept.map(({ leaf }) => eventOfLeaf(JSON.parse(leaf) as Leaf)));
    const whole = await log.evidenceOf(requestId, kept);
    log.erase(person('bob'));
    const rest = await log.evidenceOf(requestId, kept);
    expect(rest.events.map(({ leaf }) => leaf)).toEqual(whole.events.map(({ leaf }) => leaf));
    expect(formatEvidence(rest)).not.toContain('person/bob');
    expect(await forged(rest)).toMatchObject({
      verdicts: [{ by: person('dave'), overContent: true }, { by: null }],
      mandate: { approvers: [person('dave'), null], claims: null, digest: null },
    });
    // Whoever kept the file from before has it still, as anything that was ever shown.
    expect(await forged(whole)).toMatchObject({ mandate: { approvers: [person('dave'), person('bob')] } });
  });

  describe('whose log tells what cannot be', () => {
    const change = async (
      events: readonly AuditEvent[],
      type: AuditEventType,
      how: (event: AuditEvent) => AuditEvent | readonly AuditEvent[],
    ) => forged(await evidenceOf(events.flatMap((event) => (event.type === type ? how(event) : [event]))));
    const data = (more: JsonObject) => (event: AuditEvent) => ({
      ...event,
      data: { ...event.data, ...more },
    });

    it.each<[string, AuditEventType, (event: AuditEvent) => AuditEvent | readonly AuditEvent[], string]>([
      ['no request', 'poa_requested', () => [], 'comes before the request|what was asked'],
      [
        'a mandate of an hour',
        'poa_issued_dual_control',
        (e) => data({ exp: e.time.getTime() / 1000 + 3600 })(e),
        'it lives for',
      ],
      ['other limits', 'poa_issued_dual_control', data({ limits: { amount: 1 } }), 'claims do not follow'],
      [
        'another key',
        'poa_issued_dual_control',
        data({ confirmation: { jkt: 'A'.repeat(43) } }),
        'claims do not follow',
      ],
      [
        'another digest',
        'poa_issued_dual_control',
        data({ mandate_digest: 'A'.repeat(43) }),
        'claims do not follow',
      ],
      [
        'a verdict that nobody gave',
        'poa_issued_dual_control',
        data({ verdicts: ['none'] }),
        'was not recorded',
      ],
      [
        'one approver for two',
        'poa_issued_dual_control',
        (e) => data({ verdicts: [(e.data.verdicts as string[])[0]!] })(e),
        '1 approved, and 2 had to',
      ],
      [
        'one approver twice',
        'poa_issued_dual_control',
        (e) => data({ verdicts: [0, 0].map((n) => (e.data.verdicts as string[])[n]!) })(e),
        'decided twice',
      ],
      [
        'other approvers',
        'poa_issued_dual_control',
        data({ approvers: [person('erin'), person('bob')] }),
        'not those who signed',
      ],
      [
        'a mandate and an end',
        'poa_issued_dual_control',
        (e) => [
          e,
          { ...e, id: 'x', type: 'poa_expired', personal: {}, data: { code: 'c', policy_revision: null } },
        ],
        'says there is none',
      ],
      ['two mandates', 'poa_issued_dual_control', (e) => [e, { ...e, id: 'x' }], 'a second time'],
      ['a use before the mandate', 'poa_issued_dual_control', () => [], 'no mandate to redeem'],
      ['a second use', 'poa_redeemed', (e) => [e, { ...e, id: 'redemption/u2/redeemed' }], 'used 2 times'],
      ['a use of another mandate', 'poa_redeemed', data({ jti: 'other' }), 'another mandate'],
      [
        'a use with other parameters',
        'poa_redeemed',
        data({ params_digest: 'A'.repeat(43) }),
        'other parameters',
      ],
      [
        'a late use',
        'poa_redeemed',
        (e) => ({ ...e, time: new Date(e.time.getTime() + 3_600_000) }),
        'had lapsed',
      ],
      [
        'another request',
        'poa_redeemed',
        (e) => ({ ...e, requestId: 'other' }),
        'belongs to another request',
      ],
    ])('%s', async (_, type, how, why) => {
      await expect(change(await payment(), type, how)).rejects.toEqual(failure(why));
    });

    it('a verdict by another than it says, over something else, or of a strange authority', async () => {
      const events = await payment();
      const issued = 'poa_verdict_recorded';
      await expect(
        change(events, issued, (e) => ({ ...e, actor: person('erin'), personal: {} })),
      ).rejects.toEqual(failure('it was signed by'));
      await expect(change(events, issued, data({ role: 'ciso' }))).rejects.toEqual(
        failure('does not say what was signed'),
      );
      await expect(
        change(events, issued, data({ audience: 'spiffe://other.example/broker' })),
      ).rejects.toEqual(failure('over something else'));
      await expect(
        change(events, issued, (e) => ({ ...e, time: new Date(e.time.getTime() + 86_400_000 * 30) })),
      ).rejects.toEqual(failure('the verdict'));
      const stranger = await WorkerSteps.open();
      await expect(
        verifiedStory(parseEvidence(Buffer.from(formatEvidence(await evidenceOf(events)))), {
          ...means(),
          svids: stranger.ports.svids,
        }),
      ).rejects.toEqual(failure('the verdict'));
      await stranger.close();
    });

    it('two uses, of which the first was given back, are one', async () => {
      const events = await payment();
      const use1 = events.at(-1) as AuditEvent;
      const back = use(use1, 'poa_given_back', 'u1/given_back', { jti: use1.data.jti as string, code: 'c' });
      const again = { ...use1, id: 'redemption/u2/redeemed' };
      const told = await forged(await evidenceOf([...events, back, again]));
      expect(told.redemptions.map(({ givenBack }) => givenBack)).toEqual([true, false]);
      const third = { ...use1, id: 'redemption/u3/redeemed' };
      await expect(evidenceOf([...events, back, again, third]).then(forged)).rejects.toEqual(
        failure('used 2 times'),
      );
    });
  });

  it('is not believed on another key, a note that others signed too, or without its order', async () => {
    const evidence = await evidenceOf(await payment());
    const other = parseSignerKey(generateSignerKey('log.corp.example'));
    const file = parseEvidence(Buffer.from(formatEvidence(evidence)));
    await expect(
      verifiedStory(file, { ...means(), logKeys: [parseVerifierKey(other.vkey)] }),
    ).rejects.toMatchObject({ code: 'checkpoint_untrusted' });
    const [text = ''] = evidence.checkpoint.split('\n\n');
    const extra = signNote(`${text}\n`, other).split('\n\n')[1] as string;
    await expect(forged({ ...evidence, checkpoint: evidence.checkpoint + extra })).rejects.toEqual(
      failure('no known key can check'),
    );
    await expect(forged({ ...evidence, events: [...evidence.events].reverse() })).rejects.toEqual(
      failure('order of the log'),
    );
    await expect(forged({ ...evidence, requestId: 'other' })).rejects.toEqual(failure('another request'));
  });

  describe('that is no evidence', () => {
    it.each([
      ['empty', '', 'it is empty'],
      ['a word', 'evidence', 'not JSON'],
      ['not UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), 'UTF-8'],
      ['a list', '[]\n', 'no object'],
      ['of another version', '{"v":2}\n', 'not of version 1'],
      ['too deep', '['.repeat(100_000), 'nested deeper'],
      ['with a name twice', '{"v":1,"v":1}\n', 'twice'],
      ['with a number that none can carry', '{"v":1e400}\n', 'exactly'],
    ])('%s: it says so', (_, content, why) => {
      expect(() => parseEvidence(Buffer.from(content))).toThrow(failure(why));
    });

    it('at each place where it could be cut off', async () => {
      const file = Buffer.from(formatEvidence(await evidenceOf(await payment())));
      for (let length = 0; length < file.length; length += 97) {
        expect(() => parseEvidence(file.subarray(0, length))).toThrow(failure('.'));
      }
      expect(() => parseEvidence(file.subarray(0, -1))).toThrow(failure('RFC 8785 form'));
    });

    it('of any length: more than it can have is not looked at', () => {
      expect(() => parseEvidence(Buffer.alloc(MAX_EVIDENCE_BYTES + 1))).toThrow(failure('longer than'));
      const many = `{"checkpoint":"","digest":"","events":[${'0,'.repeat(20_000)}0],"history":[],"request_id":"r","v":1}\n`;
      expect(() => parseEvidence(Buffer.from(many))).toThrow(failure('more than 10000'));
    });
  });

  it('has a digest over all of it', async () => {
    const evidence = await evidenceOf(await payment());
    expect(digestOf(evidence)).not.toBe(digestOf({ ...evidence, history: [] }));
  });
});
