import { randomBytes, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Logger } from '@nestjs/common';
import type { WorkflowStartOptions } from '@temporalio/client';
import { temporal } from '@temporalio/proto';
import { askedMandateOf } from '../../domain/mandate-request';
import type { PoaRequest } from '../../domain/mandate-request';
import { readCodecKeys } from '../../adapters/temporal/codec-keys';
import { WasmPolicy } from '../../adapters/opa/wasm-policy';
import { NAMESPACE } from '../../adapters/temporal/server-settings';
import { LostRequests } from '../../apps/worker/lost-requests';
import type { Notification } from '../../domain/ports';
import { PolicyMoves } from '../../apps/worker/policy-moves';
import type { TemporalConnection } from '../../apps/worker/temporal-connection';
import {
  ATB_AGENT,
  ATB_STATE,
  ATB_WAITING_ON,
  INCIDENT,
  incidentWorkflowId,
  POA_REQUEST,
  poaRequestWorkflowId,
  policyMovedSignal,
  PROPOSAL,
  proposalWorkflowId,
  TASK_QUEUE,
  verdictSignal,
} from '../../workflows/contract';
import { Approver } from '../support/approver';
import { loseLastAnswer } from '../support/lost-answer';
import { TestStack } from '../support/stack';
import { eventually } from '../support/eventually';

const NOT_AGAIN = temporal.api.enums.v1.ResetReapplyExcludeType;

let stack: TestStack;
let bob: Approver;

beforeAll(async () => {
  stack = await TestStack.start({
    // Outages are waited for: short, and longer than a slow machine stands still.
    ATB_DECISION_TIMEOUT_MS: '10000',
  });
  bob = new Approver(stack, 'person/bob', 'compliance');
});

afterAll(() => stack.stop());

const finance = () => stack.as('agent/finance-bot');
const pending = async () =>
  String((await finance().post('/issue', { act: 'erp.order.create' })).body.request_id);
const standing = async (id: string) => (await finance().get(`/requests/${id}`)).body;
const collect = (id: string) => finance().post(`/requests/${id}/collect`);

/** A request as AgentAuth would hand it over, with the certificate chain of somebody, but not by them. */
function handmade(requestId: string, name: string, act: string): PoaRequest {
  const certificate = new X509Certificate(readFileSync(stack.identity(name).cert));
  return {
    requestId,
    asked: askedMandateOf({ act }),
    evidence: {
      kind: 'certificate',
      chain: [certificate.raw.toString('base64')],
      presentedAt: Math.floor(Date.now() / 1000),
    },
    forecast: 'issue',
  };
}

async function until(id: string, type: string): Promise<string[]> {
  return eventually(
    () => stack.auditTypes(id),
    (types) => types.includes(type),
  );
}

/** What a worker does each minute, at once, and what it tells. */
async function comparing() {
  const told: Notification[] = [];
  const ports = {
    ledger: await stack.ledger(),
    clock: () => new Date(),
    policy: await WasmPolicy.load('policy/dist'),
    notifier: {
      notify: (notification: Notification) => {
        told.push(notification);
        return Promise.resolve();
      },
    },
  };
  const keys = await readCodecKeys(join(stack.directory, 'codec-keys.json'));
  const { connection } = await stack.insider();
  return { lost: new LostRequests(ports, { current: connection }, NAMESPACE, keys), ports, told };
}

describe('an insider with write access to the namespace', () => {
  it('gets nothing by bare signals: they are recorded, and change nothing', async () => {
    const id = await pending();
    const before = await standing(id);
    const handle = (await stack.insider()).workflow.getHandle(poaRequestWorkflowId(id));
    await handle.signal('verdict', { verdict: await bob.sign(id) });
    await handle.signal('approve');
    await until(id, 'poa_signal_rejected');
    expect(await standing(id)).toEqual(before);
    expect((await collect(id)).body).toMatchObject({ code: 'not_approved' });
  });

  it('gets nothing by a sealed signal without a signature, even with the codec keys', async () => {
    const id = await pending();
    const handle = (await stack.sealedClient()).workflow.getHandle(poaRequestWorkflowId(id));
    await handle.signal(verdictSignal, { verdict: 'a.b.c' });
    expect(await until(id, 'poa_signal_rejected')).not.toContain('poa_verdict_recorded');
  });

  it('gets nothing by starting a request that our processes did not seal', async () => {
    const client = await stack.insider();
    const handle = await client.workflow.start('poaRequest', {
      taskQueue: 'poa',
      workflowId: poaRequestWorkflowId('insider'),
      args: [{ requestId: 'insider', asked: { act: 'crm.contact.read' } }],
    });
    await expect(handle.result()).rejects.toThrow();
    expect(await stack.auditTypes('insider')).toEqual([]);
  });

  it("gets nothing by starting a request with an agent's certificate chain, which anybody may know", async () => {
    const client = await stack.insider();
    const requestId = 'insider-with-a-chain';
    const handle = await client.workflow.start('poaRequest', {
      taskQueue: 'poa',
      workflowId: poaRequestWorkflowId(requestId),
      args: [handmade(requestId, 'agent/finance-bot', 'erp.order.create')],
      // What an operator may write beside a workflow decides nothing.
      memo: { state: 'approved', tier: 'low' },
    });
    await expect(handle.result()).rejects.toThrow();
    expect(await stack.auditTypes(requestId)).toEqual([]);
  });

  it("gets no mandate by a person's chain either, even with the codec keys", async () => {
    const client = await stack.sealedClient();
    const requestId = 'insider-with-keys';
    const handle = await client.workflow.start('poaRequest', {
      taskQueue: 'poa',
      workflowId: poaRequestWorkflowId(requestId),
      args: [handmade(requestId, 'person/bob', 'crm.contact.read')],
    });
    await handle.result().catch(() => undefined);
    const types = await stack.auditTypes(requestId);
    expect(types).toContain('poa_denied');
    expect(types).not.toContain('poa_issued');
  });

  it('keeps nobody from seeing what waits by workflows of their own, whatever memo they have', async () => {
    const id = await pending();
    const client = await stack.insider();
    const warned = jest.spyOn(Logger.prototype, 'warn');
    const noMemo = `no-memo-${randomBytes(20).toString('base64url')}`;
    const attributes = [
      ...[{ key: ATB_STATE, value: 'pending' }],
      ...[{ key: ATB_AGENT, value: 'spiffe://corp.example/agent/finance-bot' }],
      ...[{ key: ATB_WAITING_ON, value: ['compliance'] }],
    ];
    const start = (type: string, workflowId: string, more: Partial<WorkflowStartOptions>) =>
      client.workflow.start(type, {
        ...{ taskQueue: TASK_QUEUE, workflowId, args: [{}], typedSearchAttributes: attributes },
        ...more,
      });
    const sealed = (await stack.sealedClient()).workflow.getHandle(poaRequestWorkflowId(id));
    const theirs = await Promise.all([
      // One with a memo in clear, on a queue that somebody serves but not before long; one that nobody ever runs.
      start(POA_REQUEST, poaRequestWorkflowId('foreign-memo'), {
        memo: { bodyDigest: 'x' },
        startDelay: '1 hour',
      }),
      start(POA_REQUEST, poaRequestWorkflowId(noMemo), { startDelay: '1 hour' }),
      start(POA_REQUEST, poaRequestWorkflowId('nobodys'), {
        taskQueue: 'nobodys',
        memo: { bodyDigest: 'x' },
      }),
      start(PROPOSAL, proposalWorkflowId('probe.theirs.AAAAAAAAAAAAAAAAAAAAAA'), { startDelay: '1 hour' }),
      start(INCIDENT, incidentWorkflowId('manual.AAAAAAAAAAAAAAAAAAAAAA'), { startDelay: '1 hour' }),
    ]);
    const all = [sealed, ...theirs].map(({ workflowId }) => `'${workflowId}'`);
    await eventually(
      () => client.workflow.count(`AtbState = 'pending' AND WorkflowId IN (${all.join(', ')})`),
      ({ count }) => count === all.length,
    );
    const { status, body } = await stack.as('person/bob').get('/approvals');
    expect(status).toBe(200);
    expect((body.approvals as { request_id: string }[]).map((one) => one.request_id)).toContain(id);
    // What an approver is shown of the agent's last requests.
    expect((await stack.as('person/bob').get(`/requests/${id}`)).body).toHaveProperty('agent_recent');
    for (const list of ['/proposals', '/incidents']) {
      expect(await stack.as('person/carol').get(list)).toMatchObject({ status: 200 });
    }
    // Another policy is told to the requests that wait, and not held up by theirs.
    const told = jest.spyOn(Logger.prototype, 'log');
    const policy = Object.assign(await WasmPolicy.load('policy/dist'), { revision: 'another' });
    const keys = await readCodecKeys(join(stack.directory, 'codec-keys.json'));
    const connection = { current: client.connection } as unknown as TemporalConnection;
    const moves = new PolicyMoves(policy, connection, NAMESPACE, keys);
    moves.start();
    await eventually(
      () => told.mock.calls.flat().join(),
      (text) => text.includes('policy another:'),
    );
    await moves.close();
    const { events } = await sealed.fetchHistory();
    const heard = (events ?? []).map((event) => event.workflowExecutionSignaledEventAttributes?.signalName);
    expect(heard).toContain('policyMoved');
    const warnings = warned.mock.calls.flat().join('\n');
    expect(warnings).toContain('poa-request/foreign-memo was not started by ATB');
    expect(warnings).toContain(`${noMemo} does not say where it stands (temporal_unavailable)`);
    expect(warnings).not.toContain(id);
    for (const handle of theirs) await handle.terminate();
    jest.restoreAllMocks();
  });

  it('gets nothing by a payload that was sealed for another workflow', async () => {
    const [from, to] = [await pending(), await pending()];
    const client = await stack.insider();
    const sealed = await stack.sealedClient();
    // Signed by the right person for the second request, and sealed for the first: where it is refused.
    await sealed.workflow
      .getHandle(poaRequestWorkflowId(from))
      .signal(verdictSignal, { verdict: await bob.sign(to) });
    await until(from, 'poa_verdict_refused');
    const { events } = await client.workflow.getHandle(poaRequestWorkflowId(from)).fetchHistory();
    const signaled = events?.find((event) => event.workflowExecutionSignaledEventAttributes);
    await client.workflowService.signalWorkflowExecution({
      namespace: 'atb',
      workflowExecution: { workflowId: poaRequestWorkflowId(to) },
      signalName: verdictSignal.name,
      input: signaled?.workflowExecutionSignaledEventAttributes?.input ?? null,
      requestId: 'moved',
    });
    expect(await until(to, 'poa_signal_rejected')).not.toContain('poa_verdict_recorded');
    expect((await collect(to)).body).toMatchObject({ code: 'not_approved' });
  });

  it('gets no second mandate by a reset to any point of the history (attack 8)', async () => {
    const id = await pending();
    await bob.give(id);
    const first = await collect(id);
    const client = await stack.insider();
    const workflowId = poaRequestWorkflowId(id);
    const { events } = await client.workflow.getHandle(workflowId).fetchHistory();
    const { runId } = await (await stack.sealedClient()).workflow.getHandle(workflowId).describe();
    const points = (events ?? []).filter(
      ({ workflowTaskCompletedEventAttributes }) => workflowTaskCompletedEventAttributes,
    );
    expect(points.length).toBeGreaterThan(3);
    for (const [index, { eventId }] of points.entries()) {
      await client.workflowService.resetWorkflowExecution({
        namespace: 'atb',
        workflowExecution: { workflowId, runId },
        workflowTaskFinishEventId: eventId ?? null,
        requestId: `reset-${index}`,
        reason: 'an insider tries',
      });
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      const again = await collect(id);
      if (again.status === 200) expect(again.body.mandate).toBe(first.body.mandate);
    }
    expect((await stack.auditTypes(id)).filter((type) => type === 'poa_issued')).toHaveLength(1);
  });

  it('gets nothing by terminating: there is no mandate, and no collecting', async () => {
    const id = await pending();
    await bob.give(id);
    await (await stack.insider()).workflow.getHandle(poaRequestWorkflowId(id)).terminate('noise');
    // At once, and not only when the log says it too.
    expect(await standing(id)).toMatchObject({
      state: 'cancelled',
      reasons: [expect.stringMatching(/^workflow_(gone|terminated)$/)],
    });
    expect(await collect(id)).toMatchObject({ status: 409, body: { code: 'request_finished' } });
    expect(await stack.auditTypes(id)).not.toContain('poa_issued');
  });

  it('is found out when workflows are terminated or deleted: the log says what happened, and their requests end', async () => {
    const [terminated, removed, untouched] = [await pending(), await pending(), await pending()];
    const insider = await stack.insider();
    await insider.workflow.getHandle(poaRequestWorkflowId(terminated)).terminate('noise');
    await insider.workflowService.deleteWorkflowExecution({
      namespace: NAMESPACE,
      workflowExecution: { workflowId: poaRequestWorkflowId(removed) },
    });
    const { lost, ports, told } = await comparing();
    const reasons = async (id: string) =>
      (await ports.ledger.events({ requestId: id, type: 'poa_cancelled', limit: 2 })).map(
        (event) => event.reasons,
      );
    await eventually(
      async () => {
        await lost.look();
        return reasons(removed);
      },
      ({ length }) => length > 0,
    );
    expect(await reasons(terminated)).toEqual([['workflow_terminated']]);
    expect(await reasons(removed)).toEqual([['workflow_removed']]);
    expect(await reasons(untouched)).toEqual([]);
    expect(await standing(untouched)).toMatchObject({ state: 'pending' });
    // By whoever found it: the worker looks each minute itself.
    const workers = (await readFile(join(stack.directory, 'notifications.jsonl'), 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Notification);
    const decided = [...told, ...workers].filter(
      ({ requestId, kind }) => requestId === terminated && kind === 'decided',
    );
    expect(decided).toMatchObject([{ facts: { state: 'cancelled' } }]);
    // Not started anew either: what was closed gives no mandate.
    expect((await ports.ledger.recordOf(removed)).closed).toBe(true);
  });

  it('is found out when a workflow is reset, or ended and started again: the log names each', async () => {
    const waiting = await pending();
    const issued = await pending();
    const again = await pending();
    const untouched = await pending();
    await bob.give(issued);
    await collect(issued);
    const insider = await stack.insider();
    const sealed = await stack.sealedClient();
    const runs = new Map<string, string>();
    for (const id of [waiting, issued, again]) {
      const workflowId = poaRequestWorkflowId(id);
      const { runId } = await sealed.workflow.getHandle(workflowId).describe();
      runs.set(id, runId);
      if (id === again) {
        await insider.workflow.getHandle(workflowId).terminate('noise');
        // On a queue that nobody serves it runs for ever.
        const theirs = { taskQueue: 'nobodys', workflowIdReusePolicy: 'ALLOW_DUPLICATE' as const };
        await insider.workflow.start(POA_REQUEST, { ...theirs, workflowId, args: [{}] });
        continue;
      }
      const { events } = await insider.workflow.getHandle(workflowId).fetchHistory();
      const point = events?.find(({ workflowTaskCompletedEventAttributes: done }) => done)?.eventId ?? null;
      await insider.workflowService.resetWorkflowExecution({
        ...{ namespace: NAMESPACE, workflowExecution: { workflowId, runId } },
        ...{ workflowTaskFinishEventId: point, requestId: `reset-${id}`, reason: 'an insider tries' },
        // Without what came after that point: else it is over again at once.
        resetReapplyExcludeTypes: [
          NOT_AGAIN.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL,
          NOT_AGAIN.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE,
        ],
      });
    }
    const { lost, ports } = await comparing();
    const told = async (id: string) =>
      (await ports.ledger.events({ requestId: id, type: 'poa_workflow_reset', limit: 5 })).map(
        ({ reasons, data }) => [...reasons, data.run],
      );
    await eventually(
      async () => {
        await lost.look();
        return Promise.all([waiting, issued, again].map(told));
      },
      (resets) => resets.every(({ length }) => length > 0),
    );
    await lost.look();
    expect(await told(waiting)).toEqual([['reset', runs.get(waiting)]]);
    expect(await told(issued)).toEqual([['reset', runs.get(issued)]]);
    expect(await told(again)).toEqual([['started_again', runs.get(again)]]);
    expect(await told(untouched)).toEqual([]);
    expect((await stack.auditTypes(issued)).filter((type) => type === 'poa_issued')).toHaveLength(1);
    await insider.workflow.getHandle(poaRequestWorkflowId(again)).terminate();
  });

  it('gets nothing by cancelling: there is no mandate, and the log says what happened', async () => {
    const id = await pending();
    await bob.give(id);
    await (await stack.insider()).workflow.getHandle(poaRequestWorkflowId(id)).cancel();
    expect(await until(id, 'poa_cancelled')).not.toContain('poa_issued');
    const [cancelled] = await (
      await stack.ledger()
    ).events({ requestId: id, type: 'poa_cancelled', limit: 2 });
    expect(cancelled?.reasons).toEqual(['cancelled_by_operator']);
    expect(await standing(id)).toMatchObject({ state: 'cancelled' });
    expect((await collect(id)).status).toBeGreaterThanOrEqual(400);
  });
});

describe('a request whose step was done, and whose workflow never heard of it', () => {
  const security = () => new Approver(stack, 'person/carol', 'security');
  const ended = async (handle: Awaited<ReturnType<typeof loseLastAnswer>>) => {
    const { status, typedSearchAttributes } = await eventually(
      () => handle.describe(),
      (run) => run.status.name !== 'RUNNING',
    );
    return [status.name, typedSearchAttributes.get(ATB_STATE)];
  };
  const issued = async () => {
    const id = await pending();
    await bob.give(id);
    const { status, body } = await collect(id);
    expect(status).toBe(200);
    return { id, body, handle: await loseLastAnswer(stack, id) };
  };

  it('is issued, as the log says, where an operator cancels it', async () => {
    const { id, body, handle } = await issued();
    expect(await standing(id)).toMatchObject({ state: 'approved' });
    await handle.cancel();
    expect(await ended(handle)).toEqual(['COMPLETED', 'issued']);
    expect(await standing(id)).toMatchObject({ state: 'issued', jti: body.jti });
    expect(await collect(id)).toMatchObject({ status: 409, body: { code: 'request_finished' } });
    expect(await stack.auditTypes(id)).not.toContain('poa_cancelled');
  });

  it('can neither be withdrawn nor rejected any more, and gives its agent the one mandate', async () => {
    const { id, body, handle } = await issued();
    const withdrawn = await finance().post(`/requests/${id}/withdraw`);
    expect(withdrawn).toMatchObject({ status: 409, body: { code: 'already_issued' } });
    const rejected = await security().give(id, { verdict: 'reject', reason: 'too late' });
    expect(rejected).toMatchObject({ status: 409, body: { code: 'request_finished' } });
    expect(await collect(id)).toMatchObject({ status: 200, body: { mandate: body.mandate } });
    expect(await ended(handle)).toEqual(['COMPLETED', 'issued']);
    const types = await stack.auditTypes(id);
    expect(types.filter((type) => type === 'poa_issued')).toHaveLength(1);
    expect(types).not.toContain('poa_withdrawn');
    expect(types).not.toContain('poa_rejected');
  });

  it('is rejected, as the log says, where policy moves and an operator cancels it', async () => {
    const id = await pending();
    await bob.give(id, { verdict: 'reject', reason: 'nobody ordered it' });
    const handle = await loseLastAnswer(stack, id);
    await handle.signal(policyMovedSignal, { revision: 'another' });
    await handle.cancel();
    expect(await ended(handle)).toEqual(['COMPLETED', 'rejected']);
    expect(await standing(id)).toMatchObject({ state: 'rejected', reasons: ['rejected'] });
    expect(await stack.auditTypes(id)).not.toContain('poa_cancelled');
  });
});

describe('with the audit store down', () => {
  it('nothing is issued, the request says so, and goes on by itself when it is back', async () => {
    const id = await pending();
    await bob.give(id);
    await stack.stack.parts.postgres.stop();
    const headers = { 'idempotency-key': 'outage-1' };
    const ask = () => stack.as('agent/crm-assistant').post('/issue', { act: 'crm.contact.read' }, headers);
    const refused = await ask();
    expect(refused.body).toMatchObject({ status: 503, code: 'audit_unavailable' });
    expect(refused.headers['retry-after']).toBeDefined();
    const requestId = String(refused.body.request_id);
    expect(refused.headers.location).toBe(`/requests/${requestId}`);
    const shown = await stack.as('agent/crm-assistant').get(`/requests/${requestId}`);
    expect(shown.body).toMatchObject({ state: 'pending', interruption: { code: 'audit_unavailable' } });
    expect((await collect(id)).status).toBe(503);

    await stack.stack.parts.postgres.start();
    expect(await until(requestId, 'poa_issued')).toEqual(['poa_requested', 'poa_issued']);
    expect((await ask()).status).toBe(201);
    expect((await collect(id)).status).toBe(200);
    expect((await stack.auditTypes(id)).filter((type) => type === 'poa_issued')).toHaveLength(1);
  });
});

describe('with the worker down', () => {
  it('a request is accepted, answered with 503 and its id, and goes on when it is back', async () => {
    await stack.stack.parts.worker.stop();
    const headers = { 'idempotency-key': 'worker-down-1' };
    const ask = () => stack.as('agent/crm-assistant').post('/issue', { act: 'crm.contact.read' }, headers);
    const refused = await ask();
    expect(refused.body).toMatchObject({ status: 503, code: 'worker_unavailable' });
    expect(refused.headers['retry-after']).toBeDefined();
    await stack.stack.parts.worker.start();
    const requestId = String(refused.body.request_id);
    expect(await until(requestId, 'poa_issued')).toEqual(['poa_requested', 'poa_issued']);
    expect((await ask()).body).toMatchObject({ state: 'issued', request_id: requestId });
  });
});

describe('with Temporal down', () => {
  it('a request is refused with 503, and what was pending is still there when it is back', async () => {
    const id = await pending();
    await stack.stack.parts.temporal.stop();
    const headers = { 'idempotency-key': 'temporal-down-1' };
    const ask = () => stack.as('agent/crm-assistant').post('/issue', { act: 'crm.contact.read' }, headers);
    const refused = await ask();
    expect(refused.status).toBe(503);
    expect(refused.headers['retry-after']).toBeDefined();
    await stack.stack.parts.temporal.start();
    await eventually(ask, ({ status }) => status === 201, 500);
    expect((await bob.give(id)).body).toMatchObject({ state: 'approved' });
    expect((await collect(id)).status).toBe(200);
  });
});
