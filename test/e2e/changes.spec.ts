import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { JsonObject } from '../../domain/json';
import type { Proposed } from '../../domain/proposal';
import { ATB_WAITING_ON, CAB, CAB_SCHEDULE, CHANGE, TASK_QUEUE } from '../../workflows/contract';
import { anRfc, ChangePeople, Platform } from '../support/change';
import { TestStack } from '../support/stack';
import { eventually, found } from '../support/eventually';

let stack: TestStack;
let platform: Platform;
let people: ChangePeople;

beforeAll(async () => {
  platform = await Platform.make();
  stack = await TestStack.start({ ATB_OPERATIONS_FILE: await platform.operations() });
  people = new ChangePeople(stack);
});

afterAll(() => stack.stop());

beforeEach(async () => {
  await platform.reset();
});

/** As if the week were over: the schedule takes the action that it takes at each CAB. */
async function holdCab(): Promise<void> {
  const before = (await eventsOf('cab_held')).length;
  // Two within a second would be one.
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  const client = await stack.sealedClient();
  await client.schedule.getHandle(CAB_SCHEDULE).trigger();
  await eventually(
    () => eventsOf('cab_held'),
    ({ length }) => length > before,
  );
}

async function eventsOf(type: string) {
  return (await stack.ledger()).events({ type, limit: 1_000 });
}

async function told(id: string): Promise<readonly string[]> {
  const events = await (await stack.ledger()).events({ limit: 5_000 });
  return events
    .filter(({ type, data }) => data.proposal === id && type.startsWith('change_'))
    .map(({ type }) => type);
}

async function notified(): Promise<
  readonly { kind: string; roles: string[]; text: string; requestId: string }[]
> {
  const lines = (await readFile(join(stack.directory, 'notifications.jsonl'), 'utf8')).trim().split('\n');
  return lines.map(
    (line) => JSON.parse(line) as { kind: string; roles: string[]; text: string; requestId: string },
  );
}

let count = 0;
const aChange = (content: JsonObject = {}): Proposed =>
  people.change(`upgrade-${(count += 1)}`, anRfc(content));
const anEmergency = (content: JsonObject = {}): Proposed =>
  people.change(`hotfix-${(count += 1)}`, anRfc(content), 'emergency_change');

/** Signed off, and on an agenda. */
async function ready(change: Proposed): Promise<string> {
  const id = await people.signedOff(change);
  if (change.kind === 'change') await holdCab();
  return id;
}

async function run(change: Proposed): Promise<string> {
  const id = await ready(change);
  expect(await people.say(people.grace, id, change, 'run')).toMatchObject({ status: 200 });
  return id;
}

const refusedAs = (status: number, code: string) => ({ status, body: { code } });

describe('a change (operating model §7)', () => {
  it('goes from an RFC by way of sign-offs and the CAB through canary steps to its end, all of it in the log', async () => {
    const change = aChange();
    const id = await people.signedOff(change);
    expect(await people.say(people.grace, id, change, 'run')).toMatchObject(
      refusedAs(409, 'change_not_on_agenda'),
    );
    await holdCab();
    const begun = await people.say(people.grace, id, change, 'run');
    expect(begun).toMatchObject({ status: 200, body: { change_id: id } });
    expect(await people.reaches(id, 'completed')).toMatchObject({
      percent: 100,
      by: 'spiffe://corp.example/person/grace',
      steps: [
        { what: 'applied', percent: 50, good: true },
        { what: 'checked', percent: 50, good: true },
        { what: 'applied', percent: 100, good: true },
        { what: 'checked', percent: 100, good: true },
      ],
    });
    expect(await platform.done()).toEqual([
      ...['begin 1.4.0 50', 'deploy 1.4.0 50', 'smoke 50'],
      ...['begin 1.4.0 100', 'deploy 1.4.0 100', 'smoke 100'],
    ]);
    expect(await told(id)).toEqual([
      ...['change_word_refused', 'change_on_agenda', 'change_begun'],
      ...['change_step_begun', 'change_step_applied', 'change_checked'],
      ...['change_step_begun', 'change_step_applied', 'change_checked'],
      'change_ended',
    ]);
    expect(await people.say(people.grace, id, change, 'run')).toMatchObject(
      refusedAs(409, 'change_finished'),
    );
  });

  it('is on the agenda of the CAB, with who signed, who is missing, and its window; every team that is not only informed gets it', async () => {
    const change = aChange();
    const id = await people.proposed(change);
    await people.dave.signOff(id, change, 'security');
    await holdCab();
    const agendas = await eventually(
      async () => (await notified()).filter(({ kind, text }) => kind === 'cab' && text.includes(id)),
      ({ length }) => length >= 3,
    );
    expect(agendas.map(({ roles: [team] }) => team)).toEqual([
      ...['AgentAuth-Team', 'Broker-Team', 'Platform-Ops'],
    ]);
    const { from } = change.content.window as { from: string };
    expect(agendas[0]?.text).toContain('signed: security (security_lead); missing: platform_ops');
    expect(agendas[0]?.text).toContain(from.slice(0, 19));
  });

  it.each([
    ['from now on', undefined],
    ['in spring, when the clock is put forward', '2027-03-10T00:00:00Z'],
    ['in autumn, when it is put back', '2027-10-06T00:00:00Z'],
  ])('has a CAB each week at the hour that the clock of the policy shows, %s', async (_, startAt) => {
    const { schedule } = await stack.sealedClient();
    const { spec } = await schedule.getHandle(CAB_SCHEDULE).describe();
    expect(spec.timezone).toBe('Europe/Berlin');
    // The server is asked when: the same times, from some day on.
    const probe = await schedule.create({
      scheduleId: `cab-${startAt ?? 'now'}`,
      spec: { ...spec, ...(startAt !== undefined && { startAt: new Date(startAt) }) },
      action: { type: 'startWorkflow', workflowType: CAB, taskQueue: TASK_QUEUE, args: [] },
      state: { paused: true },
    });
    const times = (await probe.describe()).info.nextActionTimes;
    await probe.delete();
    const berlin = new Intl.DateTimeFormat('en-GB', {
      ...{ timeZone: 'Europe/Berlin', weekday: 'long', hour: '2-digit', minute: '2-digit' },
    });
    expect(times.length).toBeGreaterThan(4);
    for (const at of times) expect(berlin.format(at)).toBe('Wednesday 10:00');
    const weeks = times.slice(1).map((at, n) => (Number(at) - Number(times[n])) / (7 * 24 * 3_600_000));
    for (const apart of weeks) expect(Math.abs(apart - 1)).toBeLessThan(1 / 100);
    // In UTC it moves by an hour where the clock was put forward or back.
    const hours = new Set(times.slice(0, 5).map((at) => at.getUTCHours()));
    if (startAt !== undefined) expect([...hours].sort()).toEqual([8, 9]);
  });
});

describe('a change that goes wrong', () => {
  it('is rolled back by itself where a check fails, and goes no further', async () => {
    await writeFile(platform.path('smoke-fails-50'), '');
    const id = await run(aChange());
    expect(await people.reaches(id, 'rolled_back')).toMatchObject({
      percent: 0,
      reasons: ['change_check_failed'],
    });
    expect((await platform.done()).slice(-2)).toEqual(['restoring 1.3.9 0', 'restore 1.3.9 0']);
    expect(await platform.done()).not.toContain('deploy 1.4.0 100');
    expect((await told(id)).slice(-4)).toEqual([
      ...['change_check_failed', 'change_rollback_begun', 'change_rolled_back', 'change_ended'],
    ]);
  });

  it('is rolled back where a step fails', async () => {
    await writeFile(platform.path('deploy-fails'), '');
    const id = await run(aChange());
    expect(await people.reaches(id, 'rolled_back')).toMatchObject({ reasons: ['change_step_failed'] });
    expect(await told(id)).toContain('change_step_failed');
  });

  it('stops where its rollback fails too, pages people, and says in which state it left the platform', async () => {
    await writeFile(platform.path('smoke-fails-100'), '');
    await writeFile(platform.path('restore-fails'), '');
    const id = await run(aChange());
    expect(await people.reaches(id, 'rollback_failed')).toMatchObject({ percent: 100 });
    expect((await platform.done()).filter((line) => line.startsWith('restore '))).toHaveLength(1);
    const [ended] = (await eventsOf('change_ended')).filter(({ data }) => data.proposal === id);
    expect(ended?.data).toMatchObject({ state: 'rollback_failed', percent: 100 });
    const page = await found(async () =>
      (await notified()).find(({ requestId, kind }) => requestId === id && kind === 'change'),
    );
    expect(page.roles).toEqual(expect.arrayContaining(['on_call', 'platform_ops', 'security_lead']));
    expect(page.text).toMatch(/stands at 100 percent and its rollback FAILED/);
    const incidents = async () => (await stack.as('person/carol').get('/incidents')).body.incidents;
    // Until its severity was judged.
    const seen = await eventually(incidents, (all) => JSON.stringify(all).includes('"severity":"P'));
    expect(seen).toContainEqual(
      expect.objectContaining({ kind: 'change_rollback_failed', severity: 'P1', state: 'open' }),
    );
  });

  it('is rolled back by the signed word of whoever may abort it, and of nobody else', async () => {
    const change = aChange({
      canary: [
        { percent: 10, soak_seconds: 600 },
        { percent: 100, soak_seconds: 0 },
      ],
    });
    const id = await run(change);
    await eventually(
      () => people.status(id),
      ({ percent }) => percent === 10,
    );
    expect(await people.say(people.heidi, id, change, 'abort')).toMatchObject(
      refusedAs(403, 'verdict_role_not_eligible'),
    );
    expect(await people.say(people.dave, id, change, 'abort')).toMatchObject({ status: 200 });
    expect(await people.reaches(id, 'rolled_back')).toMatchObject({ reasons: ['change_aborted'] });
    expect(await platform.done()).toContain('restore 1.3.9 0');
  });

  it('is rolled back where an operator cancels its workflow', async () => {
    const id = await run(aChange({ canary: [{ percent: 100, soak_seconds: 600 }] }));
    await eventually(
      () => people.status(id),
      ({ percent }) => percent === 100,
    );
    await (await stack.insider()).workflow.getHandle(`change/${id}`).cancel();
    expect(await people.reaches(id, 'rolled_back')).toMatchObject({
      percent: 0,
      reasons: ['change_aborted'],
    });
  });
});

describe('an emergency change', () => {
  it('needs no CAB but the word of on-call, and is open until somebody else than its author has reviewed it', async () => {
    const change = anEmergency();
    const id = await people.proposed(change, people.dave);
    expect(await people.dave.signOff(id, change, 'security')).toMatchObject(
      refusedAs(403, 'verdict_not_independent'),
    );
    await people.carol.signOff(id, change, 'security', { role: 'security' });
    await people.grace.signOff(id, change, 'platform_ops');
    expect(await people.say(people.grace, id, change, 'run')).toMatchObject(
      refusedAs(403, 'change_not_signed_off'),
    );
    expect((await people.carol.signOff(id, change, 'on_call')).body).toMatchObject({ state: 'approved' });
    expect((await people.say(people.carol, id, change, 'run')).status).toBe(200);
    const ended = await people.reaches(id, 'completed');
    expect(Date.parse(ended.review_until as string)).toBeGreaterThan(Date.now());
    const reviewers = ['ciso', 'platform_ops', 'security_lead'];
    expect(ended).toMatchObject({ phase: 'review', waiting_on: reviewers });
    const shown = async () => {
      const described = await (await stack.sealedClient()).workflow.getHandle(`change/${id}`).describe();
      return described.typedSearchAttributes.get(ATB_WAITING_ON) ?? [];
    };
    expect(await eventually(shown, ({ length }) => length > 0)).toEqual(reviewers);

    await holdCab();
    const waits = `${id}: an emergency that waits for its review`;
    await eventually(notified, (all) => all.some(({ kind, text }) => kind === 'cab' && text.includes(waits)));
    expect(await people.say(people.dave, id, change, 'review')).toMatchObject(
      refusedAs(403, 'verdict_not_independent'),
    );
    expect(await people.say(people.grace, id, change, 'review')).toMatchObject({
      status: 200,
      body: { review_until: null, reviewed_by: 'spiffe://corp.example/person/grace' },
    });
    expect((await told(id)).at(-1)).toBe('change_word_recorded');
  });
});

describe('a change that may not run', () => {
  it('is one that the author signs off, or one person for both', async () => {
    const change = aChange();
    const id = await people.proposed(change, people.grace);
    expect(await people.grace.signOff(id, change, 'platform_ops')).toMatchObject(
      refusedAs(403, 'verdict_not_independent'),
    );
  });

  it('is one that lacks a sign-off, or was rejected', async () => {
    const change = aChange();
    const id = await people.proposed(change);
    await people.dave.signOff(id, change, 'security');
    await holdCab();
    expect(await people.say(people.grace, id, change, 'run')).toMatchObject(
      refusedAs(403, 'change_not_signed_off'),
    );
    await people.grace.signOff(id, change, 'platform_ops', { verdict: 'reject' });
    expect(await people.say(people.grace, id, change, 'run')).toMatchObject(
      refusedAs(403, 'change_not_signed_off'),
    );
    expect(await platform.done()).toEqual([]);
  });

  it('is one whose window is over, or has not begun', async () => {
    const at = (minutes: number) => new Date(Date.now() + minutes * 60_000).toISOString();
    const over = aChange({ window: { from: at(-60), until: at(-1) } });
    expect(await people.heidi.propose(over)).toMatchObject(refusedAs(409, 'change_outside_window'));
    const change = aChange({ window: { from: at(5), until: at(60) } });
    const id = await ready(change);
    expect(await people.say(people.grace, id, change, 'run')).toMatchObject(
      refusedAs(409, 'change_outside_window'),
    );
    expect(await platform.done()).toEqual([]);
  });

  it('is one whose content was changed by one byte after it was signed', async () => {
    const change = aChange();
    const id = await ready(change);
    const changed = { ...change, content: { ...change.content, risk: `${change.content.risk as string}.` } };
    expect(await people.say(people.grace, id, changed, 'run')).toMatchObject(
      refusedAs(422, 'verdict_digest_mismatch'),
    );
    expect(await platform.done()).toEqual([]);
  });

  it('is one that names what the allowlist does not, or a parameter that it does not take', async () => {
    const apply = (operation: string, version: string) => ({ apply: { operation, parameters: { version } } });
    for (const [content, code] of [
      [apply('rm-rf', '1'), 'change_operation_unknown'],
      [apply('deploy', '1; rm -rf /'), 'change_parameter_refused'],
      [{ rollback: { operation: 'once', parameters: { version: '1' } } }, 'change_operation_unknown'],
      [{ checks: ['nothing'] }, 'change_operation_unknown'],
    ] as const) {
      const change = anEmergency(content);
      const id = await ready(change);
      expect(await people.say(people.grace, id, change, 'run')).toMatchObject(refusedAs(422, code));
    }
    expect(await platform.done()).toEqual([]);
  });

  it('is one that somebody without the right asks to run, an agent above all', async () => {
    const change = aChange();
    const id = await ready(change);
    expect(await people.say(people.heidi, id, change, 'run')).toMatchObject(
      refusedAs(403, 'verdict_role_not_eligible'),
    );
    const statement = await people.grace.sign(id, change, 'run');
    const body = { step: 'run', statement };
    expect((await stack.as('agent/explorer').post(`/changes/${id}/words`, body)).status).toBe(403);
    const alice = stack.as('person/alice');
    expect((await alice.post(`/changes/${id}/words`, { step: 'walk', statement })).status).toBe(422);
    expect((await alice.post(`/changes/${id}/words`, { step: 'run', statement: 'x' })).status).toBe(400);
    expect((await alice.post(`/changes/${id}/words`, { ...body, more: 1 })).status).toBe(400);
    expect((await alice.get('/changes/nothing')).status).toBe(404);
    expect(await platform.done()).toEqual([]);
  });

  it('is malformed in many ways, each with its reason', async () => {
    for (const content of [
      { canary: [] },
      { canary: [{ percent: 50, soak_seconds: 0 }] },
      {
        canary: [
          { percent: 100, soak_seconds: 0 },
          { percent: 100, soak_seconds: 0 },
        ],
      },
      { checks: [] },
      { window: { from: 'now', until: 'later' } },
      { apply: { operation: '/bin/sh', parameters: {} } },
      { risk: '' },
      { shell: 'rm' },
    ]) {
      const refused = await people.heidi.propose(aChange(content));
      expect(refused).toMatchObject(refusedAs(400, 'proposal_malformed'));
      expect(String(refused.body.detail)).toMatch(/^the change is malformed: it/);
    }
  });
});

/** Whoever holds the namespace, and the keys of the codec too: believed by no step. */
describe('somebody who starts workflows by hand, or completes the steps of others', () => {
  it('runs no change that nobody signed off, with whatever statement', async () => {
    const change = anEmergency();
    const id = await people.proposed(change);
    const client = await stack.sealedClient();
    for (const statement of ['a.b.c', await people.grace.sign(id, change, 'run')]) {
      const handle = await client.workflow.start(CHANGE, {
        workflowId: `change/${id}`,
        taskQueue: TASK_QUEUE,
        args: [{ id, statement }],
        workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      });
      expect(await handle.result()).toMatchObject({ state: 'refused', percent: 0 });
    }
    expect(await platform.done()).toEqual([]);
  });

  it('gets no further by saying that a step was applied: it is rolled back, and the command is dead', async () => {
    await writeFile(platform.path('hold-deploy'), '');
    const id = await run(anEmergency());
    const client = await stack.sealedClient();
    const handle = client.workflow.getHandle(`change/${id}`);
    const pending = async () => (await handle.describe()).raw.pendingActivities?.[0];
    const step = await eventually(pending, (one) => one?.activityType?.name === 'applyChangeStep');
    const activityId = step?.activityId ?? '';
    // Its command runs: of a step that nobody took up there would be nothing to undo.
    await eventually(
      () => platform.done(),
      (lines) => lines.includes('begin 1.4.0 50'),
    );
    const forged = { good: true, detail: 'done', reason: null };
    await client.activity.complete({ workflowId: `change/${id}`, activityId }, forged);
    expect(await people.reaches(id, 'rolled_back')).toMatchObject({
      percent: 0,
      reasons: ['change_not_proven'],
    });
    await rm(platform.path('hold-deploy'));
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(await platform.done()).toEqual(['begin 1.4.0 50', 'restoring 1.3.9 0', 'restore 1.3.9 0']);
  });

  it('ends no change by saying that it was rolled back', async () => {
    await writeFile(platform.path('smoke-fails-50'), '');
    await writeFile(platform.path('hold-restore'), '');
    const id = await run(anEmergency());
    const client = await stack.sealedClient();
    const handle = client.workflow.getHandle(`change/${id}`);
    const pending = async () => (await handle.describe()).raw.pendingActivities?.[0];
    const step = await eventually(pending, (one) => one?.activityType?.name === 'rollBackChange');
    const activityId = step?.activityId ?? '';
    await eventually(
      () => platform.done(),
      (lines) => lines.includes('restoring 1.3.9 0'),
    );
    const forged = { good: true, detail: 'done', reason: null };
    await client.activity.complete({ workflowId: `change/${id}`, activityId }, forged);
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    expect(await people.status(id)).toMatchObject({ state: 'rolling_back' });
    await rm(platform.path('hold-restore'));
    expect(await people.reaches(id, 'rolled_back')).toMatchObject({ percent: 0 });
    expect((await platform.done()).at(-1)).toBe('restore 1.3.9 0');
  });
});
