import type { ClosingInput } from '../../activities/types';
import { ORDER, person, WorkerSteps } from '../support/worker-steps';
import type { Asked } from '../support/worker-steps';

let steps: WorkerSteps;

beforeEach(async () => {
  steps = await WorkerSteps.open();
});

afterEach(() => steps.close());

const STATES = ['expired', 'withdrawn', 'cancelled', 'rejected', 'denied'] as const;

const ending = ({ request, assessment }: Asked, state: ClosingInput['state']) => {
  const { agent, tier } = assessment;
  const why = { actor: null, code: 'request_finished', reasons: ['not_collected_in_time'] } as const;
  return steps.activities.closeRequest({ request, agent, tier, state, ...why });
};

const approved = async () => {
  const asked = await steps.ask(ORDER);
  return { asked, counted: await steps.counted(asked, await steps.statement(asked, 'bob', 'compliance')) };
};

describe('a request that the workflow wants to end', () => {
  it.each(STATES)('as %s ends so, and again when the step is repeated', async (state) => {
    const { asked } = await approved();
    expect(await ending(asked, state)).toBe(true);
    expect(await ending(asked, state)).toBe(true);
    expect((await steps.eventTypes(asked)).filter((type) => type === `poa_${state}`)).toHaveLength(1);
    expect(steps.told.at(-1)).toMatchObject({ kind: 'decided', facts: { state } });
  });

  it.each(STATES)('as %s is issued, where its mandate was signed and the answer lost', async (state) => {
    const { asked, counted } = await approved();
    const issued = await steps.collect(asked, counted);
    steps.told.length = 0;
    const end = await ending(asked, state);
    if (issued.outcome !== 'issued') throw new Error(issued.outcome);
    const { tier, jti, expiresAt, policyRevision } = issued;
    expect(end).toMatchObject({ state: 'issued', tier, jti, expiresAt, policyRevision });
    expect(end).toMatchObject({ verdicts: [{ by: person('bob'), verdict: 'approve' }] });
    // Nobody proved to be the agent: the mandate itself is not made again.
    expect(end).not.toHaveProperty('mandate');
    expect(steps.told).toEqual([]);
    expect(await steps.eventTypes(asked)).toEqual(['poa_requested', 'poa_verdict_recorded', 'poa_issued']);
  });

  it('is issued also where somebody says no while its mandate is being signed', async () => {
    const { asked, counted } = await approved();
    const { ledger } = steps;
    const recordVerdict = ledger.recordVerdict.bind(ledger);
    ledger.recordVerdict = async (...entry) => {
      await steps.collect(asked, counted);
      return recordVerdict(...entry);
    };
    const statement = await steps.statement(asked, 'carol', 'security', { verdict: 'reject' });
    const { request } = asked;
    await steps.activities.recordVerdict({ request, counted, statement, onlyReject: true });
    expect(await ending(asked, 'rejected')).toMatchObject({ state: 'issued' });
    expect(await steps.eventTypes(asked)).not.toContain('poa_rejected');
  });

  it('is denied where it was denied when it was collected, and the answer lost; its agent is told that', async () => {
    const { asked, counted } = await approved();
    await steps.movePolicy((data) => {
      for (const agent of Object.values(data.agents)) agent.actions = ['crm.*'];
    });
    const outcome = await steps.collect(asked, counted);
    if (outcome.outcome !== 'denied') throw new Error(outcome.outcome);
    const { code, reasons, policyRevision } = outcome.denial;
    expect(await ending(asked, 'expired')).toMatchObject({ state: 'denied', code, reasons, policyRevision });
    expect(steps.told.map(({ facts }) => facts.state)).not.toContain('expired');
    expect(await steps.eventTypes(asked)).not.toContain('poa_expired');
  });
});
