import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { NativeConnection, Worker } from '@temporalio/worker';
import { Client as DatabaseClient } from 'pg';
import { readCodecKeys } from '../../adapters/temporal/codec-keys';
import { sealedDataConverter } from '../../adapters/temporal/data-converter';
import {
  ATB_AGENT,
  ATB_STATE,
  poaRequestWorkflowId,
  TASK_QUEUE,
  verdictSignal,
} from '../../workflows/contract';
import { Approver } from '../support/approver';
import type { Answer } from '../support/http';
import { TestStack } from '../support/stack';
import { eventually } from '../support/eventually';

const JUNK = 10_000;
const AT_ONCE = 100;
// The server suggests a new run after 4,096 events.
const ENOUGH = 5_000;

let stack: TestStack;
let bob: Approver;
let carol: Approver;

beforeAll(async () => {
  stack = await TestStack.start();
  bob = new Approver(stack, 'person/bob', 'compliance');
  carol = new Approver(stack, 'person/carol', 'security');
});

afterAll(() => stack.stop());

const finance = () => stack.as('agent/finance-bot');
const pending = async () =>
  String((await finance().post('/issue', { act: 'erp.order.create' })).body.request_id);
const standing = async (id: string) => (await finance().get(`/requests/${id}`)).body;
const collect = (id: string) => finance().post(`/requests/${id}/collect`);

it('10,000 junk signals leave the history and the audit log bounded, and the request works', async () => {
  const id = String(
    (
      await finance().post('/issue', {
        act: 'sap.payment.execute',
        con: { params: { amount: 1250 } },
      })
    ).body.request_id,
  );
  if (id === 'undefined') throw new Error('not asked');
  await bob.give(id);
  const before = await standing(id);
  const client = await stack.insider();
  const handle = client.workflow.getHandle(poaRequestWorkflowId(id));
  const sealed = (await stack.sealedClient()).workflow.getHandle(poaRequestWorkflowId(id));
  const first = (await sealed.describe()).runId;
  for (let sent = 0; sent < JUNK; sent += AT_ONCE) {
    await Promise.all(
      Array.from({ length: AT_ONCE }, (_, n) => handle.signal('verdict', `junk ${sent + n}`)),
    );
  }
  // What an approver said, and since when people are awaited, came along into the new run.
  await until(async () => (await sealed.describe()).runId !== first);
  expect((await answered(() => finance().get(`/requests/${id}`))).body).toEqual(before);
  const { runId, historyLength, typedSearchAttributes, memo } = await sealed.describe();
  expect(runId).not.toBe(first);
  expect(historyLength).toBeLessThan(10_000);
  expect(typedSearchAttributes.get(ATB_STATE)).toBe('pending');
  expect(typedSearchAttributes.get(ATB_AGENT)).toBe('spiffe://corp.example/agent/finance-bot');
  expect(memo?.bodyDigest).toEqual(expect.any(String));

  expect(await counted(id, carol)).toMatchObject({ state: 'approved' });
  expect((await answered(() => collect(id))).status).toBe(200);
  const types = (await (await stack.ledger()).events({ requestId: id, limit: 1_000 })).map(
    ({ type }) => type,
  );
  expect(types.filter((type) => type === 'poa_signal_rejected').length).toBeLessThan(40);
  expect(types.filter((type) => type === 'poa_issued_dual_control')).toHaveLength(1);
});

it('a verdict that arrives while the run is handed over is not lost, and nobody keeps it from being handed over', async () => {
  const asked = await finance().post('/issue', {
    act: 'sap.payment.execute',
    con: { params: { amount: 1250 } },
  });
  const id = String(asked.body.request_id);
  const statement = await bob.sign(id);
  const noise = (await stack.insider()).workflow.getHandle(poaRequestWorkflowId(id));
  const sealed = (await stack.sealedClient()).workflow.getHandle(poaRequestWorkflowId(id));
  const first = (await sealed.describe()).runId;

  // An update is always under way, until the run was handed over.
  const answers: string[] = [];
  const run = { handedOver: false };
  const length = async () => {
    const { runId, historyLength } = await sealed.describe();
    if (runId !== first) run.handedOver = true;
    return historyLength;
  };
  const asking = Array.from({ length: 3 }, async () => {
    while (!run.handedOver) {
      const { status, body } = await collect(id);
      answers.push(`${status} ${String(body.code)}`);
      await length();
    }
  });
  let word: ReturnType<typeof counted> | undefined;
  try {
    for (let sent = 0; !run.handedOver && sent < ENOUGH; sent += AT_ONCE) {
      await Promise.all(
        Array.from({ length: AT_ONCE }, (_, n) => noise.signal('verdict', `junk ${sent + n}`)),
      );
      if ((await length()) > 3_800) word ??= counted(id, bob, statement);
    }
    await until(async () => {
      await length();
      return run.handedOver;
    });
  } finally {
    run.handedOver = true;
  }
  await Promise.all(asking);
  word ??= counted(id, bob, statement);
  expect(await word).toMatchObject({ state: 'pending', outstanding: { approvals: 1 } });
  expect(
    answers.filter((answer) => !/^(409 not_approved|429 too_many_requests|503 \w+)$/.test(answer)),
  ).toEqual([]);

  expect(await counted(id, carol)).toMatchObject({ state: 'approved' });
  expect((await answered(() => collect(id))).status).toBe(200);
  const types = (await (await stack.ledger()).events({ requestId: id, limit: 1_000 })).map(
    ({ type }) => type,
  );
  expect(types.filter((type) => type === 'poa_verdict_recorded')).toHaveLength(2);
  expect(types.filter((type) => type === 'poa_issued_dual_control')).toHaveLength(1);
});

/**
 * Where a request stands once the word counts. An answer may be late, or be lost: then the word is sent again, and is told
 * that it was counted before.
 */
async function counted(id: string, by: Approver, signed?: string): Promise<Answer['body']> {
  const look = () => answered(() => finance().get(`/requests/${id}`));
  await look();
  const statement = signed ?? (await by.sign(id));
  const { status, body } = await answered(() => by.submit(id, statement));
  expect(status === 200 ? 'counted' : body.code).toMatch(/^(counted|verdict_already_used)$/);
  return (await look()).body;
}

/**
 * The first answer that is final: what cannot be answered now (503), or because of the noise around it (429: the server
 * calls a workflow busy), is asked again.
 */
const answered = (send: () => Promise<Answer>) =>
  eventually(send, ({ status }) => status !== 503 && status !== 429, 200);

it('10,000 signals that come while no worker runs do not keep it from starting', async () => {
  const asked = await finance().post('/issue', { act: 'erp.order.create' });
  const id = String(asked.body.request_id);
  const noise = (await stack.insider()).workflow.getHandle(poaRequestWorkflowId(id));
  const statement = await bob.sign(id);
  await stack.stack.parts.worker.stop();
  for (let sent = 0; sent < JUNK - AT_ONCE; sent += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, (_, n) => noise.signal('verdict', `junk ${sent + n}`)));
  }
  await stack.stack.parts.worker.start();
  expect(await counted(id, bob, statement)).toMatchObject({ state: 'approved' });
  expect((await answered(() => collect(id))).status).toBe(200);
  const rejected = await (
    await stack.ledger()
  ).events({ requestId: id, type: 'poa_signal_rejected', limit: 1_000 });
  expect(rejected.length).toBeLessThan(40);
});

it('a verdict that is being looked at when somebody resets the workflow counts once', async () => {
  const id = await pending();
  const statement = await bob.sign(id);
  const workflowId = poaRequestWorkflowId(id);
  const client = await stack.insider();
  const { runId } = await (await stack.sealedClient()).workflow.getHandle(workflowId).describe();
  const { events } = await client.workflow.getHandle(workflowId).fetchHistory();
  const point = events?.find(({ workflowTaskCompletedEventAttributes: done }) => done)?.eventId ?? null;

  // Its step waits for a lock of somebody's.
  const url = (await readFile(join(stack.directory, 'database-url'), 'utf8')).trim();
  const database = new DatabaseClient({ connectionString: url });
  await database.connect();
  await database.query('begin');
  await database.query('select * from poa_request where request_id = $1 for update', [id]);
  await database.query('lock table verdict in share row exclusive mode');
  const submitted = counted(id, bob, statement);
  await sleep(700);
  await client.workflowService.resetWorkflowExecution({
    ...{ namespace: 'atb', workflowExecution: { workflowId, runId }, workflowTaskFinishEventId: point },
    ...{ requestId: 'reset-under-a-verdict', reason: 'an insider tries' },
  });
  await database.query('rollback');
  await database.end();

  expect(await submitted).toMatchObject({ state: 'approved' });
  expect((await answered(() => collect(id))).status).toBe(200);
  const types = await stack.auditTypes(id);
  expect(types.filter((type) => type === 'poa_verdict_recorded')).toHaveLength(1);
  expect(types.filter((type) => type === 'poa_issued')).toHaveLength(1);
});

it('a word on a request whose workflow was terminated is refused with the reason', async () => {
  const id = await pending();
  const statement = await bob.sign(id);
  await (await stack.insider()).workflow.getHandle(poaRequestWorkflowId(id)).terminate('noise');
  expect(await bob.submit(id, statement)).toMatchObject({
    status: 409,
    body: {
      ...{ code: 'request_finished', detail: 'the request is cancelled' },
      // Or what the worker found, which compares each minute.
      reasons: [expect.stringMatching(/^workflow_(gone|terminated)$/)],
    },
  });
});

it('statements that count for nothing, sealed with stolen codec keys, are looked at only so often', async () => {
  const id = await pending();
  const handle = (await stack.sealedClient()).workflow.getHandle(poaRequestWorkflowId(id));
  for (let sent = 0; sent < 300; sent += AT_ONCE) {
    await Promise.all(
      Array.from({ length: AT_ONCE }, (_, n) => handle.signal(verdictSignal, { verdict: `a.b.${sent + n}` })),
    );
  }
  await counted(id, bob);
  expect((await answered(() => collect(id))).status).toBe(200);
  const events = await (
    await stack.ledger()
  ).events({ requestId: id, type: 'poa_verdict_refused', limit: 1_000 });
  expect(events.length).toBeLessThanOrEqual(201);
});

/** Reports whatever lets a request through, for every step, without doing any. */
function forgedSteps(id: string) {
  const denial = { outcome: 'refused', code: 'internal', message: 'forged' };
  const issued = {
    ...{ outcome: 'issued', mandate: 'forged.forged.forged', jti: 'forged', expiresAt: 4_000_000_000 },
    ...{ tier: 'medium', policyRevision: 'forged' },
  };
  return {
    recordVerdict: () => ({
      outcome: 'counted',
      effect: 'issue',
      verdict: {
        jti: 'forged',
        by: 'spiffe://corp.example/person/bob',
        role: 'compliance',
        verdict: 'approve',
        reason: '',
        attests: [],
        receivedAt: 0,
      },
      assessment: forgedAssessment(id),
    }),
    issueMandate: () => issued,
    issueAtOnce: () => ({
      admission: { effect: 'issue', assessment: forgedAssessment(id) },
      issuance: issued,
    }),
    closeRequest: () => true,
    escalate: () => undefined,
    remind: () => undefined,
    recordRejectedSignal: () => undefined,
    confirmCaller: () => null,
    reclassify: () => denial,
  };
}

function forgedAssessment(id: string) {
  return {
    ...{ agent: 'spiffe://corp.example/agent/finance-bot', tier: 'medium', policyRevision: 'forged' },
    requirement: {
      approvals: 0,
      roles: [],
      dualControl: false,
      nominated: [],
      ticket: false,
      releaseRoles: [],
      attest: [],
    },
    outstanding: { approvals: 0, attest: [], release: false },
    ...{
      waitingOn: [],
      eligibleApprovers: [],
      priority: 'P3',
      escalation: [],
      expiresAfterSeconds: 900,
      collectWithinSeconds: 900,
    },
    toApprove: { req: id },
  };
}

describe('a rogue worker that takes every step and reports what it likes', () => {
  /** Takes the place of the real worker's steps for as long as `work` lasts; the workflows run as ever. */
  async function withRogue(
    keys: 'no codec keys' | 'stolen codec keys',
    id: string,
    work: () => Promise<void>,
  ): Promise<void> {
    const connection = await NativeConnection.connect({ address: stack.stack.temporalAddress });
    const codecKeys = await readCodecKeys(join(stack.directory, 'codec-keys.json'));
    const rogue = await Worker.create({
      connection,
      namespace: 'atb',
      taskQueue: TASK_QUEUE,
      // It runs our own workflows too, where it has the keys: the real worker is held back meanwhile.
      ...(keys === 'stolen codec keys' && {
        workflowsPath: require.resolve('../../workflows'),
        dataConverter: sealedDataConverter(codecKeys, 'mark'),
      }),
      activities: forgedSteps(id),
    });
    const running = rogue.run();
    await stack.stack.parts.worker.stop();
    try {
      await work();
    } finally {
      rogue.shutdown();
      await running;
      await connection.close();
      await stack.stack.parts.worker.start();
    }
  }

  it('with stolen codec keys makes a request look approved and issued, and there is no mandate', async () => {
    const id = await pending();
    await withRogue('stolen codec keys', id, async () => {
      await answered(() => stack.as('person/bob').post(`/requests/${id}/verdicts`, { verdict: 'a.b.c' }));
      const answer = await answered(() => collect(id));
      expect(answer.body.mandate).toBe('forged.forged.forged');
    });
    // It is a word without a signature: nothing was recorded, and no broker knows a key for it.
    const types = await stack.auditTypes(id);
    expect(types).toEqual(['poa_requested']);
    const { body } = await finance().form('/introspect', { token: 'forged.forged.forged' });
    expect(body).toEqual({ active: false });
  });

  it('with stolen codec keys that forges the approval alone gets none either: the signing step looks itself', async () => {
    const id = await pending();
    await withRogue('stolen codec keys', id, async () => {
      const answer = await stack.as('person/bob').post(`/requests/${id}/verdicts`, { verdict: 'a.b.c' });
      expect(answer.body).toMatchObject({ state: 'approved' });
    });
    // The real worker is back, and the history says "approved".
    const answer = await answered(() => collect(id));
    // Either the signing step saw it, or the request was classified again before, as its policy is unknown.
    expect(answer.status).toBe(409);
    expect(['approval_missing', 'not_approved']).toContain(answer.body.code);
    expect(await stack.auditTypes(id)).not.toContain('poa_issued');
    await counted(id, bob);
    expect((await answered(() => collect(id))).status).toBe(200);
  });

  it('without the keys only delays: what it reports is refused, and the step is done by the real worker', async () => {
    const id = await pending();
    const connection = await NativeConnection.connect({ address: stack.stack.temporalAddress });
    const rogue = await Worker.create({
      connection,
      namespace: 'atb',
      taskQueue: TASK_QUEUE,
      activities: forgedSteps(id),
    });
    const running = rogue.run();
    const statement = await bob.sign(id);
    try {
      // Some of these steps the rogue takes, and some the real worker.
      await until(async () => {
        await bob.submit(id, statement);
        return (await standing(id)).state === 'approved';
      });
      await until(async () => {
        const { body } = await collect(id);
        expect(body.mandate).not.toBe('forged.forged.forged');
        return body.mandate !== undefined;
      });
    } finally {
      rogue.shutdown();
      await running;
      await connection.close();
    }
    expect(await stack.auditTypes(id)).toEqual(['poa_requested', 'poa_verdict_recorded', 'poa_issued']);
  });
});

const until = (done: () => Promise<boolean>) => eventually(done, (isDone) => isDone, 200);
