import { localTimeJson } from '../../domain/local-time';
import { sendAway } from '../support/policy';
import { PAYMENT, person, WorkerSteps } from '../support/worker-steps';
import type { Asked } from '../support/worker-steps';

const HOUR = 3_600;

let steps: WorkerSteps;

beforeEach(async () => {
  steps = await WorkerSteps.open();
});

afterEach(() => steps.close());

const climb = ({ request, assessment }: Asked, rung: number, roles: readonly string[]) => {
  const { agent, tier } = assessment;
  const pendingSince = Math.floor(steps.now.getTime() / 1000);
  return steps.activities.escalate({ request, agent, tier, rung, roles, pendingSince });
};
const reassessed = ({ request }: Asked, statements: readonly string[] = []) =>
  steps.activities.reassess({ request, statements });
const team_lead = (asked: Asked) => steps.statement(asked, 'heidi', 'team_lead');

describe('a rung of the escalation ladder', () => {
  it('makes those whom it tells eligible, if the tier says so of their role, up to the mandate', async () => {
    const asked = await steps.ask(PAYMENT);
    expect(asked.assessment.eligibleApprovers).not.toContain(person('heidi'));
    steps.later(HOUR);
    await climb(asked, 1, ['on_call']);
    expect(await steps.record(asked, await team_lead(asked))).toMatchObject({
      outcome: 'refused',
      code: 'verdict_role_not_eligible',
    });
    steps.later(HOUR);
    await climb(asked, 2, ['team_lead']);
    const again = await reassessed(asked);
    expect(again?.assessment.requirement.roles).toContain('team_lead');
    expect(again?.assessment.eligibleApprovers).toContain(person('heidi'));
    const counted = await steps.counted(
      asked,
      await team_lead(asked),
      await steps.statement(asked, 'bob', 'compliance'),
    );
    expect(await steps.collect(asked, counted)).toMatchObject({ outcome: 'issued' });
  });

  it('counts for nothing when a forged history climbed it too early', async () => {
    const asked = await steps.ask(PAYMENT);
    await climb(asked, 2, ['team_lead']);
    expect((await reassessed(asked))?.assessment.eligibleApprovers).not.toContain(person('heidi'));
    expect(await steps.record(asked, await team_lead(asked))).toMatchObject({
      code: 'verdict_role_not_eligible',
    });
  });

  it('makes nobody eligible whom policy has not on that rung, whatever roles a history names', async () => {
    const asked = await steps.ask(PAYMENT);
    steps.later(HOUR);
    await climb(asked, 1, ['team_lead', 'platform_ops']);
    expect((await reassessed(asked))?.assessment.requirement.roles).not.toContain('team_lead');
    expect(await steps.record(asked, await team_lead(asked))).toMatchObject({
      code: 'verdict_role_not_eligible',
    });
  });

  it('that the audit log does not know widens nothing when the mandate is signed', async () => {
    const asked = await steps.ask(PAYMENT);
    steps.later(2 * HOUR);
    await climb(asked, 2, ['team_lead']);
    const counted = await steps.counted(
      asked,
      await team_lead(asked),
      await steps.statement(asked, 'bob', 'compliance'),
    );
    const recordOf = steps.ledger.recordOf.bind(steps.ledger);
    steps.ledger.recordOf = async (id) => ({ ...(await recordOf(id)), rungs: [] });
    expect(await steps.collect(asked, counted)).toMatchObject({ outcome: 'outdated', kept: [counted[1]] });
  });
});

describe('a request that is looked at again', () => {
  it('is left as it is when it is finished, or policy would deny it: its end is told elsewhere', async () => {
    const asked = await steps.ask(PAYMENT);
    await steps.movePolicy((data) => {
      for (const agent of Object.values(data.agents)) agent.actions = ['crm.*'];
    });
    expect(await reassessed(asked)).toBeNull();
    const { request, assessment } = asked;
    await steps.activities.closeRequest({
      ...{ request, agent: assessment.agent, tier: 'high', state: 'expired', actor: null },
      ...{ code: 'request_finished', reasons: ['not_approved_in_time'] },
    });
    expect(await reassessed(asked)).toBeNull();
  });

  it('is not believed by its history about the verdicts that it has', async () => {
    const asked = await steps.ask(PAYMENT);
    const never = await steps.statement(asked, 'bob', 'compliance');
    expect(await reassessed(asked, [never])).toMatchObject({
      outcome: 'required',
      kept: [],
      assessment: { outstanding: { approvals: 2 } },
    });
  });
});

describe('somebody away', () => {
  const heidis = (asked: Asked) => steps.statement(asked, 'heidi', 'legal');

  it('is stood in for by their deputy, who is told, and whose word is still good after the absence', async () => {
    const today = localTimeJson(steps.now.getTime() / 1000, 'Europe/Berlin')?.date as string;
    await steps.movePolicy((data) => {
      Object.assign(data.directory.persons[person('frank')] ?? {}, {
        absent: [{ from: today, until: today }],
      });
    });
    const asked = await steps.ask(PAYMENT);
    expect(asked.assessment.eligibleApprovers).toContain(person('heidi'));
    await climb(asked, 0, asked.assessment.waitingOn);
    expect(steps.told.at(-1)).toMatchObject({ kind: 'approval_wanted', deputies: [person('heidi')] });
    const counted = await steps.counted(
      asked,
      await heidis(asked),
      await steps.statement(asked, 'bob', 'compliance'),
    );
    steps.later(24 * HOUR);
    expect(await steps.record(asked, await heidis(asked), counted)).toMatchObject({
      code: 'verdict_role_not_held',
    });
    expect(await steps.collect(asked, counted)).toMatchObject({ outcome: 'issued' });
  });

  it('and their deputy are one person, whoever of them signs (attack 6)', async () => {
    await steps.movePolicy((data) => {
      sendAway(data, 'frank');
    });
    const asked = await steps.ask(PAYMENT);
    const [first = ''] = await steps.counted(asked, await heidis(asked));
    expect(await steps.record(asked, await steps.statement(asked, 'frank', 'legal'), [first])).toMatchObject({
      code: 'verdict_second_from_person',
    });
  });

  it('is waited for no more when a request is looked at again', async () => {
    const asked = await steps.ask(PAYMENT);
    expect(asked.assessment.eligibleApprovers).toContain(person('frank'));
    await steps.movePolicy((data) => {
      sendAway(data, 'frank');
    });
    const again = await reassessed(asked);
    expect(again?.assessment.eligibleApprovers).not.toContain(person('frank'));
    expect(again?.assessment.eligibleApprovers).toContain(person('heidi'));
  });
});
