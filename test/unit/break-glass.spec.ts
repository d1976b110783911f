import { signRequest } from '../../adapters/jose/signed-request';
import { reviewPath } from '../../domain/break-glass-review';
import { agent, PAYMENT, person, WorkerSteps } from '../support/worker-steps';
import type { Asked } from '../support/worker-steps';
import { withBreakGlass } from '../support/policy';

const HOUR = 3_600;

let steps: WorkerSteps;

beforeEach(async () => {
  steps = await WorkerSteps.open((data) => {
    withBreakGlass(data, ['grace', 'heidi', 'carol']);
  });
});

afterEach(() => steps.close());

/** A payment that waited a rung in vain. */
async function unanswered(): Promise<Asked> {
  const asked = await steps.ask(PAYMENT);
  steps.later(HOUR);
  const { request, assessment } = asked;
  await steps.activities.escalate({
    ...{ request, agent: assessment.agent, tier: 'high', rung: 1, roles: ['on_call'], pendingSince: 0 },
  });
  steps.told.length = 0;
  return asked;
}

const word = (asked: Asked, name: string, reason = 'the plant stands still') =>
  steps.statement(asked, name, 'break_glass', { reason });
const broken = async (asked: Asked) =>
  steps.counted(asked, await word(asked, 'grace'), await word(asked, 'carol'));
const glassEvents = async ({ request: { requestId } }: Asked) =>
  (await steps.ledger.events({ requestId, limit: 100 })).filter(({ type }) => type.startsWith('poa_break'));

async function listed(name: string) {
  const { chain } = await steps.credential(`person/${name}`);
  return steps.activities.openReviews({ evidence: steps.evidence(chain) });
}

async function signedBy(
  name: string,
  { request: { requestId } }: Asked,
  changes: object = {},
  path = reviewPath(requestId),
  iat = Math.floor(steps.now.getTime() / 1000),
) {
  const [review] = await listed('dave');
  const { key, chain } = await steps.credential(`person/${name}`);
  const statement = await signRequest(key, chain, {
    aud: steps.ports.issuer,
    method: 'POST',
    path,
    body: { finding: 'justified', reason: 'nobody was there', digest: review?.digest ?? '', ...changes },
    iat,
    jti: 'AAAAAAAAAAAAAAAAAAAAAA',
  });
  return { requestId, evidence: { kind: 'signed_request', statement, presentedAt: 0 } } as const;
}

const closedBy = async (...given: Parameters<typeof signedBy>) =>
  steps.activities.closeReview(await signedBy(...given));

describe('break-glass', () => {
  it('is off unless policy names its role: nobody is let in by holding one', async () => {
    await steps.movePolicy((data) => {
      withBreakGlass(data, ['grace', 'carol']);
      data.break_glass.role = null;
    });
    const asked = await unanswered();
    expect(await steps.record(asked, await word(asked, 'grace'))).toMatchObject({
      code: 'verdict_role_not_eligible',
    });
  });

  it('is closed before the request waited for approvers in vain', async () => {
    const asked = await steps.ask(PAYMENT);
    expect(await steps.record(asked, await word(asked, 'grace'))).toMatchObject({
      code: 'verdict_role_not_eligible',
    });
  });

  it('takes two; then it is recorded with their reasons, everyone Accountable is told at once, and a mandate comes of it', async () => {
    const asked = await unanswered();
    const [first = ''] = await steps.counted(asked, await word(asked, 'grace'));
    expect(await glassEvents(asked)).toEqual([]);
    expect(steps.told).toEqual([]);
    const second = await word(asked, 'carol', 'finance is on a plane');
    expect(await steps.record(asked, second, [first])).toMatchObject({ outcome: 'counted', effect: 'issue' });
    expect(await glassEvents(asked)).toMatchObject([
      {
        type: 'poa_break_glass',
        subject: agent('finance-bot'),
        data: {
          people: [person('grace'), person('carol')],
          stated_reasons: ['the plant stands still', 'finance is on a plane'],
          role: 'break_glass',
          rungs: 1,
          accountable: ['Legal', 'Security'],
        },
      },
    ]);
    expect(steps.told.filter(({ kind }) => kind === 'break_glass')).toMatchObject([
      { roles: ['Legal', 'Security'], requestId: asked.request.requestId },
    ]);
    expect(await steps.collect(asked, [first, second])).toMatchObject({ outcome: 'issued' });
    expect(await glassEvents(asked)).toHaveLength(1);
  });

  it('is recorded and told by the signing step where a crash kept the verdict from doing so', async () => {
    const asked = await unanswered();
    const statements = await broken(asked);
    // As if the process had died between the verdict and the event.
    steps.ledger.forget(`${asked.request.requestId}/poa_break_glass`);
    expect(await glassEvents(asked)).toEqual([]);
    steps.told.length = 0;
    expect(await steps.collect(asked, statements)).toMatchObject({ outcome: 'issued' });
    const types = await steps.eventTypes(asked);
    expect(types.indexOf('poa_break_glass')).toBeLessThan(types.indexOf('poa_issued_dual_control'));
    expect(types).toContain('poa_break_glass');
    expect(steps.told.map(({ kind }) => kind)).toContain('break_glass');
  });

  it('wants a reason of each', async () => {
    const asked = await unanswered();
    expect(await steps.record(asked, await word(asked, 'grace', ' '))).toMatchObject({
      code: 'verdict_reason_missing',
    });
  });

  it('is never self-granted: not by owner or deployer, nor who is one person with them (attack 6)', async () => {
    await steps.movePolicy((data) => {
      withBreakGlass(data, ['alice', 'heidi', 'carol', 'grace', 'frank']);
      Object.assign(data.agents[agent('finance-bot')] ?? {}, { deployed_by: person('frank') });
    });
    const asked = await unanswered();
    for (const name of ['alice', 'frank', 'heidi']) {
      expect(await steps.record(asked, await word(asked, name))).toMatchObject({
        code: 'verdict_not_independent',
      });
    }
  });
});

describe('the review of a broken glass', () => {
  it('is open until somebody Accountable closes it by a signed word, which is recorded', async () => {
    const asked = await unanswered();
    await broken(asked);
    expect(await listed('dave')).toMatchObject([
      {
        requestId: asked.request.requestId,
        people: [
          { id: person('grace'), reason: 'the plant stands still' },
          { id: person('carol'), reason: 'the plant stands still' },
        ],
        hindrances: [],
      },
    ]);
    expect(await closedBy('dave', asked)).toMatchObject({ done: true, finding: 'justified' });
    expect(await listed('dave')).toEqual([]);
    expect((await glassEvents(asked)).at(-1)).toMatchObject({
      type: 'poa_break_glass_reviewed',
      actor: person('dave'),
      data: { finding: 'justified', reason: 'nobody was there' },
    });
  });

  it('is shown to those Accountable alone, and tells those who took part that they may not close it', async () => {
    await broken(await unanswered());
    expect(await listed('carol')).toMatchObject([{ hindrances: ['review_by_involved'] }]);
    expect(await listed('bob')).toMatchObject([{ hindrances: [] }]);
    for (const name of ['grace', 'alice', 'heidi']) expect(await listed(name)).toEqual([]);
  });

  it.each<[string, string, object, string]>([
    ['by somebody who took part', 'carol', {}, 'review_not_allowed'],
    ['by somebody of another team, who learns of none', 'grace', {}, 'review_unknown'],
    ['over something else than was shown', 'dave', { digest: 'A'.repeat(43) }, 'review_digest_mismatch'],
    ['without a reason', 'dave', { reason: ' ' }, 'invalid_request'],
    ['with a finding that there is not', 'dave', { finding: 'fine' }, 'invalid_request'],
    ['with a field that does not belong there', 'dave', { by: 'erin' }, 'unknown_field'],
  ])('is not closed %s', async (_, name, changes, code) => {
    const asked = await unanswered();
    await broken(asked);
    expect(await closedBy(name, asked, changes)).toMatchObject({ done: false, code });
    expect(await listed('dave')).toHaveLength(1);
  });

  it('is not closed by a word for another review, nor by one that is old', async () => {
    const asked = await unanswered();
    await broken(asked);
    expect(await closedBy('dave', asked, {}, '/reviews/another')).toMatchObject({
      code: 'signed_request_mismatch',
    });
    const iat = Math.floor(steps.now.getTime() / 1000) - 301;
    expect(await closedBy('dave', asked, {}, undefined, iat)).toMatchObject({ code: 'signed_request_stale' });
    expect(await listed('dave')).toHaveLength(1);
  });

  it('keeps its first word; the same again changes nothing', async () => {
    const asked = await unanswered();
    await broken(asked);
    const daves = await signedBy('dave', asked);
    const erins = await signedBy('erin', asked, { finding: 'not_justified' });
    const first = await steps.activities.closeReview(daves);
    expect(first).toMatchObject({ done: true });
    expect(await steps.activities.closeReview(erins)).toMatchObject({ code: 'review_closed' });
    expect(await steps.activities.closeReview(daves)).toEqual(first);
    expect(await glassEvents(asked)).toHaveLength(2);
  });
});
