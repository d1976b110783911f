import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client as DatabaseClient } from 'pg';
import type { JsonObject } from '../../domain/json';
import type { Proposed } from '../../domain/proposal';
import { NAMESPACE } from '../../adapters/temporal/server-settings';
import { changeWorkflowId } from '../../workflows/contract';
import { anRfc, ChangePeople, Platform } from '../support/change';
import { eventually } from '../support/eventually';
import { changedPolicy } from '../support/policy';
import { Signer } from '../support/signer';
import { TestStack } from '../support/stack';

let stack: TestStack;
let platform: Platform;
let people: ChangePeople;

beforeAll(async () => {
  platform = await Platform.make();
  stack = await TestStack.start({
    ATB_OPERATIONS_FILE: await platform.operations(),
    ATB_POLICY_DIR: await changedPolicy((data) => {
      // Whoever has two roles may sign for one of them.
      data.directory.persons['spiffe://corp.example/person/erin']?.roles.push('platform_ops');
    }),
  });
  people = new ChangePeople(stack);
});

afterAll(() => stack.stop());

beforeEach(() => platform.reset());

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  await eventually(
    async () => ({ what, holds: await holds() }),
    (now) => now.holds,
  );
}

const isDone = (line: string) => until(line, async () => (await platform.done()).includes(line));

async function told(id: string, type: string) {
  const events = await (await stack.ledger()).events({ type, limit: 1_000 });
  return events.filter(({ data }) => data.proposal === id);
}

async function pages(id: string) {
  const lines = (await readFile(join(stack.directory, 'notifications.jsonl'), 'utf8')).trim().split('\n');
  return lines
    .map((line) => JSON.parse(line) as { requestId: string; roles: string[]; text: string })
    .filter(({ requestId, roles }) => requestId === id && roles.includes('on_call'));
}

let count = 0;
const anEmergency = (content: JsonObject = {}): Proposed =>
  people.change(`inside-${(count += 1)}`, anRfc(content), 'emergency_change');

async function run(change: Proposed): Promise<string> {
  const id = await people.signedOff(change);
  expect(await people.say(people.grace, id, change, 'run')).toMatchObject({ status: 200 });
  return id;
}

const soaking = {
  canary: [
    { percent: 10, soak_seconds: 600 },
    { percent: 100, soak_seconds: 0 },
  ],
};

/** Whoever has write access to the namespace, or a hand in the database, but no key of a person's. */
describe('an insider', () => {
  it('who terminates a change in the middle of a step: it is told in which state that left it, and rolled back', async () => {
    await writeFile(platform.path('hold-deploy'), '');
    const change = anEmergency();
    const id = await run(change);
    await isDone('begin 1.4.0 50');
    await (await stack.insider()).workflow.getHandle(changeWorkflowId(id)).terminate('noise');
    // At once, and not only when it is rolled back, which is begun within 15 seconds.
    const atOnce = await people.status(id);
    const refused = await people.say(people.grace, id, change, 'abort');
    if ((await told(id, 'change_workflow_lost')).length === 0) {
      expect(atOnce).toMatchObject({ state: 'running', waits_for: 'change_workflow_lost' });
      expect(refused).toMatchObject({ status: 503, body: { code: 'change_workflow_lost' } });
    }
    expect(await people.reaches(id, 'rolled_back')).toMatchObject({
      percent: 0,
      reasons: ['change_workflow_lost'],
    });
    await rm(platform.path('hold-deploy'));
    await new Promise((resolve) => setTimeout(resolve, 500));
    // The command that was under way is dead: it would have said so.
    expect(await platform.done()).toEqual(['begin 1.4.0 50', 'restoring 1.3.9 0', 'restore 1.3.9 0']);
    expect(await told(id, 'change_workflow_lost')).toMatchObject([
      { reasons: ['workflow_terminated'], data: { percent: 50, run: expect.any(String) } },
    ]);
    expect(await pages(id)).toContainEqual(
      expect.objectContaining({
        text: expect.stringMatching(/ended .* at 50 percent \(workflow_terminated\); it is rolled back/),
      }),
    );
  });

  it('who deletes it, or puts a workflow of their own in its place: rolled back too', async () => {
    const insider = await stack.insider();
    const workflowExecution = (id: string) => ({ workflowId: changeWorkflowId(id) });
    const deleted = await run(anEmergency({ ...soaking, ...differently('a') }));
    const replaced = await run(anEmergency({ ...soaking, ...differently('b') }));
    for (const id of [deleted, replaced]) {
      await until('it soaks', async () => (await people.status(id)).percent === 10);
    }
    await insider.workflowService.deleteWorkflowExecution({
      ...{ namespace: NAMESPACE, workflowExecution: workflowExecution(deleted) },
    });
    const { workflowId } = workflowExecution(replaced);
    await insider.workflow.getHandle(workflowId).terminate('noise');
    await insider.workflow.start('anything', {
      ...{ workflowId, taskQueue: 'nobodys', args: [], workflowIdReusePolicy: 'ALLOW_DUPLICATE' },
    });
    for (const id of [deleted, replaced]) {
      await until('it is back', async () => (await people.status(id)).state === 'rolled_back');
      expect((await told(id, 'change_ended')).map(({ data }) => data.state)).toEqual(['rolled_back']);
    }
    expect((await told(deleted, 'change_workflow_lost')).map(({ reasons }) => reasons)).toEqual([
      ['workflow_removed'],
    ]);
    expect((await told(replaced, 'change_workflow_lost')).flatMap(({ reasons }) => reasons)).toContain(
      'started_again',
    );
  });

  it('who terminates it while it is rolled back: it is rolled back to its end', async () => {
    await writeFile(platform.path('deploy-fails'), '');
    await writeFile(platform.path('hold-restore'), '');
    const id = await run(anEmergency());
    await isDone('restoring 1.3.9 0');
    await (await stack.insider()).workflow.getHandle(changeWorkflowId(id)).terminate('noise');
    await until('it is begun again', async () => (await told(id, 'change_rollback_begun')).length === 2);
    await rm(platform.path('hold-restore'));
    expect(await people.reaches(id, 'rolled_back')).toMatchObject({ reasons: ['change_step_failed'] });
    expect((await platform.done()).filter((line) => line === 'restore 1.3.9 0')).toHaveLength(1);
  });

  it('who resets it to its beginning: no step is carried out again, and the log names the reset', async () => {
    await writeFile(platform.path('hold-smoke'), '');
    const id = await run(anEmergency());
    await isDone('smoke 50');
    const insider = await stack.insider();
    const sealed = await stack.sealedClient();
    const workflowId = changeWorkflowId(id);
    const { runId } = await sealed.workflow.getHandle(workflowId).describe();
    const { events } = await insider.workflow.getHandle(workflowId).fetchHistory();
    const point = events?.find(({ workflowTaskCompletedEventAttributes: done }) => done)?.eventId ?? null;
    await insider.workflowService.resetWorkflowExecution({
      ...{ namespace: NAMESPACE, workflowExecution: { workflowId, runId } },
      ...{ workflowTaskFinishEventId: point, requestId: `reset-${id}`, reason: 'an insider tries' },
    });
    await rm(platform.path('hold-smoke'));
    expect(await people.reaches(id, 'completed')).toMatchObject({ percent: 100 });
    expect((await platform.done()).filter((line) => line.startsWith('begin'))).toEqual([
      ...['begin 1.4.0 50', 'begin 1.4.0 100'],
    ]);
    expect(await told(id, 'change_step_begun')).toHaveLength(2);
    await until('it is told', async () => (await told(id, 'change_workflow_reset')).length === 1);
    expect(await told(id, 'change_workflow_lost')).toEqual([]);
  });

  it('who terminates an emergency that waits for its review: it waits for it all the same', async () => {
    const change = anEmergency();
    const id = await run(change);
    await people.reaches(id, 'completed');
    await (await stack.insider()).workflow.getHandle(changeWorkflowId(id)).terminate('noise');
    await until('it is there again', async () => {
      const { status } = await people.say(people.dave, id, change, 'review');
      return status === 200;
    });
    expect(await people.reaches(id, 'completed')).toMatchObject({ review_until: null });
    expect(await told(id, 'change_ended')).toHaveLength(1);
  });

  it('who changes one byte of the plan in the database, after it was signed: nothing of it is carried out', async () => {
    const id = await run(anEmergency(soaking));
    await until('it soaks', async () => (await people.status(id)).percent === 10);
    const database = new DatabaseClient({
      connectionString: (await readFile(join(stack.directory, 'database-url'), 'utf8')).trim(),
    });
    await database.connect();
    const { rowCount } = await database.query(
      "update proposal set content = replace(content, '1.3.9', '1.3.8') where id = $1 and content like '%1.3.9%'",
      [id],
    );
    await database.end();
    expect(rowCount).toBe(1);
    await (await stack.insider()).workflow.getHandle(changeWorkflowId(id)).cancel();
    expect(await people.reaches(id, 'rollback_failed')).toMatchObject({ percent: 10 });
    expect((await platform.done()).join()).not.toContain('1.3.8');
    const [failed] = await told(id, 'change_rollback_failed');
    expect(failed?.data.detail).toBe('it is not the change that was signed off');
  });
});

describe('a reviewer who is the author', () => {
  it('is refused in each role that they have, and for each step that asks for somebody else', async () => {
    const change = anEmergency();
    // Carol is of Security, and on call.
    const id = await people.proposed(change, people.carol);
    for (const role of ['security', 'on_call']) {
      expect(await people.carol.signOff(id, change, 'security', { role })).toMatchObject({
        status: 403,
        body: { code: 'verdict_not_independent' },
      });
    }
    expect((await people.dave.signOff(id, change, 'security')).status).toBe(200);
    expect((await people.grace.signOff(id, change, 'platform_ops')).status).toBe(200);
    // On-call only says that it cannot wait: that may be whoever wants it.
    expect((await people.carol.signOff(id, change, 'on_call')).body).toMatchObject({ state: 'approved' });
  });

  it('does not get by as one person in two roles: Security and Platform-Ops are two people', async () => {
    const change = anEmergency();
    const id = await people.proposed(change);
    const erin = new Signer(stack, 'person/erin', 'ciso');
    expect((await erin.signOff(id, change, 'security')).status).toBe(200);
    const second = await erin.signOff(id, change, 'platform_ops', { role: 'platform_ops' });
    expect(second).toMatchObject({ status: 409, body: { code: 'verdict_second_from_person' } });
  });
});

/** A target of its own, so that it waits for no other change. */
function differently(which: 'a' | 'b'): JsonObject {
  return {
    apply: { operation: `deploy-${which}`, parameters: { version: '1.4.0' } },
    rollback: { operation: `restore-${which}`, parameters: { version: '1.3.9' } },
  };
}

describe('two changes of the same', () => {
  it('run one after the other, and each says behind which it waits; one that waits can be aborted', async () => {
    await writeFile(platform.path('hold-deploy'), '');
    const changes = [anEmergency(), anEmergency(), anEmergency()] as const;
    const first = await run(changes[0]);
    await isDone('begin 1.4.0 50');
    const second = await run(changes[1]);
    await until('it waits', async () => (await people.status(second)).behind === first);
    const third = await run(changes[2]);
    await until('it waits', async () => (await people.status(third)).behind !== null);
    expect(await people.say(people.dave, third, changes[2], 'abort')).toMatchObject({ status: 200 });
    expect(await people.reaches(third, 'rolled_back')).toMatchObject({ percent: 0 });
    expect(await platform.done()).toEqual(['begin 1.4.0 50']);
    await rm(platform.path('hold-deploy'));
    await people.reaches(first, 'completed');
    expect(await people.reaches(second, 'completed')).toMatchObject({ behind: null, percent: 100 });
    const once = [
      ...['begin 1.4.0 50', 'deploy 1.4.0 50', 'smoke 50'],
      ...['begin 1.4.0 100', 'deploy 1.4.0 100', 'smoke 100'],
    ];
    expect(await platform.done()).toEqual([...once, ...once]);
  });
});
