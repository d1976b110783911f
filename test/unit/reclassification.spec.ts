import { ORDER, PAYMENT, person, WorkerSteps } from '../support/worker-steps';
import type { Asked } from '../support/worker-steps';

let steps: WorkerSteps;

beforeEach(async () => {
  steps = await WorkerSteps.open();
});

afterEach(() => steps.close());

const reclassified = ({ request, assessment }: Asked, statements: readonly string[], waited = true) => {
  const { agent, waitingOn } = assessment;
  return steps.activities.reclassify({
    ...{ request, agent, statements, waited },
    ...(waited && { waitingOn }),
  });
};

it('tells the agent that it is denied where that comes out only when it collects', async () => {
  const asked = await steps.ask(ORDER);
  const counted = await steps.counted(asked, await steps.statement(asked, 'bob', 'compliance'));
  steps.told.length = 0;
  await steps.movePolicy((data) => {
    for (const agent of Object.values(data.agents)) agent.actions = ['crm.*'];
  });
  expect(await steps.collect(asked, counted)).toMatchObject({ outcome: 'denied' });
  expect(steps.told).toMatchObject([{ kind: 'decided', facts: { state: 'denied' } }]);
});

describe('a request that waits while policy moves', () => {
  it('keeps the verdicts that still count, and waits for what it waited for', async () => {
    const asked = await steps.ask(PAYMENT);
    const counted = await steps.counted(asked, await steps.statement(asked, 'bob', 'compliance'));
    await steps.movePolicy(() => undefined);
    expect(await reclassified(asked, counted)).toMatchObject({
      outcome: 'required',
      kept: counted,
      assessment: { outstanding: { approvals: 1 }, policyRevision: steps.ports.policy.revision },
    });
    expect(await steps.eventTypes(asked)).toContain('poa_reclassified');
    // Nothing changed for anybody: nobody is told.
    expect(steps.told).toEqual([]);
  });

  it('is asked for more where more is required now, and the eligible and the agent are told', async () => {
    const asked = await steps.ask(ORDER);
    const counted = await steps.counted(asked, await steps.statement(asked, 'bob', 'compliance'));
    steps.told.length = 0;
    await steps.movePolicy((data) => {
      const { medium } = data.tiers;
      if (medium) medium.approvals = 2;
    });
    expect(await reclassified(asked, counted, false)).toMatchObject({
      outcome: 'required',
      kept: counted,
      assessment: { outstanding: { approvals: 1 } },
    });
    expect(steps.told.map(({ kind }) => kind)).toEqual(['decided', 'approval_wanted']);
  });

  it('tells those whose word it did not want before, also where it loses no verdict', async () => {
    const asked = await steps.ask(ORDER);
    await steps.movePolicy(({ tiers: { medium } }) => {
      if (medium) Object.assign(medium, { approver_roles: ['legal', 'manager'] });
    });
    expect(await reclassified(asked, [])).toMatchObject({ outcome: 'required' });
    expect(steps.told).toMatchObject([{ kind: 'approval_wanted', roles: ['legal'] }]);
  });

  it('drops the verdict of somebody who may not approve any more', async () => {
    const asked = await steps.ask(PAYMENT);
    const counted = await steps.counted(
      asked,
      await steps.statement(asked, 'bob', 'compliance'),
      await steps.statement(asked, 'carol', 'security'),
    );
    steps.told.length = 0;
    await steps.movePolicy((data) => {
      Object.assign(data.directory.persons[person('bob')] ?? {}, { roles: ['platform_ops'] });
    });
    expect(await reclassified(asked, counted, false)).toMatchObject({
      outcome: 'required',
      kept: [counted[1]],
    });
    expect(steps.told.map(({ kind }) => kind)).toContain('approval_wanted');
  });

  it('is approved where what it has is enough now, and its agent is told', async () => {
    const asked = await steps.ask(PAYMENT);
    const counted = await steps.counted(asked, await steps.statement(asked, 'bob', 'compliance'));
    await steps.movePolicy((data) => {
      const { high } = data.tiers;
      if (high) high.approvals = 1;
    });
    expect(await reclassified(asked, counted)).toMatchObject({ outcome: 'met', kept: counted });
    expect(steps.told.map(({ kind }) => kind)).toEqual(['decided']);
    expect(await steps.collect(asked, counted)).toMatchObject({ outcome: 'issued' });
  });

  it('is left as it is where its mandate was signed before: the agent may come again for it', async () => {
    const asked = await steps.ask(ORDER);
    const counted = await steps.counted(asked, await steps.statement(asked, 'bob', 'compliance'));
    const first = await steps.collect(asked, counted);
    steps.told.length = 0;
    await steps.movePolicy((data) => {
      for (const agent of Object.values(data.agents)) agent.actions = ['crm.*'];
    });
    expect(await reclassified(asked, counted, false)).toBeNull();
    expect(steps.told).toEqual([]);
    expect(await steps.eventTypes(asked)).not.toContain('poa_denied');
    expect(await steps.collect(asked, counted)).toMatchObject({
      outcome: 'issued',
      jti: (first as { jti?: string }).jti,
    });
  });

  it('is left as it is where it was ended before, by a step whose answer was lost', async () => {
    const asked = await steps.ask(ORDER);
    await steps.record(asked, await steps.statement(asked, 'bob', 'compliance', { verdict: 'reject' }));
    steps.told.length = 0;
    await steps.movePolicy(() => undefined);
    expect(await reclassified(asked, [])).toBeNull();
    expect(steps.told).toEqual([]);
    expect(await steps.eventTypes(asked)).not.toContain('poa_reclassified');
  });

  it('is denied with the reason where it is not allowed any more, and gives no mandate', async () => {
    const asked = await steps.ask(ORDER);
    const counted = await steps.counted(asked, await steps.statement(asked, 'bob', 'compliance'));
    await steps.movePolicy((data) => {
      for (const agent of Object.values(data.agents)) agent.actions = ['crm.*'];
    });
    expect(await reclassified(asked, counted)).toMatchObject({
      outcome: 'denied',
      denial: { reasons: ['agent_not_allowed'] },
    });
    expect(await steps.eventTypes(asked)).toContain('poa_denied');
    await expect(steps.collect(asked, counted)).rejects.toMatchObject({ type: 'request_finished' });
  });
});
