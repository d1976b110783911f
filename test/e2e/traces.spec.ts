import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { Client } from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';
import { Worker } from '@temporalio/worker';
import { readCodecKeys } from '../../adapters/temporal/codec-keys';
import { sealedDataConverter } from '../../adapters/temporal/data-converter';
import { workflowTraces } from '../../adapters/temporal/traces';
import { SPAN_ATTRIBUTES } from '../../adapters/tracing/span';
import { workflowOptions } from '../../apps/worker/temporal-worker';
import { installTemporalSdk } from '../../apps/temporal-sdk';
import { poaRequestWorkflowId, READINESS, TASK_QUEUE } from '../../workflows/contract';
import { Apart } from '../support/apart';
import { Approver } from '../support/approver';
import { eventually } from '../support/eventually';
import { openedHistory, recordedHistory } from '../support/history';
import { LEG } from '../support/http';
import { HttpsServer } from '../support/https-server';
import { lineage, OtlpReceiver } from '../support/otlp-receiver';

const WEBHOOK_SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

let receiver: OtlpReceiver;
let stack: Apart;
let told: HttpsServer;

beforeAll(async () => {
  installTemporalSdk({ level: 'ERROR' });
  receiver = await OtlpReceiver.start();
  told = await HttpsServer.start();
  told.handler = (_, response) => response.writeHead(204).end();
  await told.file('secret', WEBHOOK_SECRET);
  const notifications = await told.file(
    'notifications.json',
    JSON.stringify({
      decide_at: 'https://atb.corp.example/requests/{request_id}',
      channels: {
        hook: { type: 'webhook', url: `${told.url}/secret-path`, secret_file: 'secret', ca_file: 'ca.pem' },
      },
      routes: [{ roles: ['*'], channel: 'hook' }],
    }),
  );
  stack = await Apart.start({
    ATB_NOTIFICATIONS_FILE: '',
    ATB_NOTIFICATION_SYSTEM_FILE: notifications,
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    OTEL_BSP_SCHEDULE_DELAY: '100',
  });
});

afterAll(async () => {
  await stack.stop();
  await receiver.stop();
  await told.stop();
});

const eventsOf = (requestId: string) =>
  stack.withLedger((ledger) => ledger.events({ requestId, limit: 100 }));
const LOW = { act: 'crm.contact.read', con: { params: { contact_id: 'C-4711' } } };
const ORDER = { act: 'erp.order.create', con: { params: { order_id: 'SO-7' } }, leg: LEG };

describe('a request is one trace, from HTTP through workflow and activities to the database (issue 9)', () => {
  it('under the trace that the caller names', async () => {
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
    const traceparent = `00-${traceId}-00f067aa0ba902b7-01`;
    const issued = await stack.as('agent/crm-assistant').post('/issue', LOW, { traceparent });
    expect(issued).toMatchObject({ status: 201, body: { state: 'issued' } });
    const spans = await receiver.trace(
      ...[traceId, 'POST /issue', 'StartWorkflow:poaRequest'],
      ...['RunWorkflow:poaRequest', 'RunActivity:issueAtOnce', 'record-mandate'],
    );
    expect(lineage(spans, 'record-mandate')).toEqual([
      'worker record-mandate',
      'worker RunActivity:issueAtOnce',
      'worker RunWorkflow:poaRequest',
      'agentauth StartWorkflow:poaRequest',
      'agentauth POST /issue',
    ]);
    const server = spans.find(({ name }) => name === 'POST /issue');
    expect(server).toMatchObject({
      kind: 2,
      parentSpanId: '00f067aa0ba902b7',
      attributes: {
        'http.request.method': 'POST',
        'http.route': '/issue',
        'http.response.status_code': 201,
      },
    });
    expect(spans.find(({ name }) => name === 'record-mandate')).toMatchObject({
      kind: 3,
      attributes: { 'db.system.name': 'postgresql', 'db.query.summary': 'record-mandate' },
    });
    const events = await eventsOf(String(issued.body.request_id));
    expect(events.map((event) => event.traceId)).toEqual(events.map(() => traceId));
    expect(events.length).toBeGreaterThan(1);
  });

  it('and under its own where the caller names none: the same in the audit event, and in the problem', async () => {
    const issued = await stack.as('agent/crm-assistant').post('/issue', LOW);
    const [event] = await eventsOf(String(issued.body.request_id));
    const traceId = String(event?.traceId);
    const spans = await receiver.trace(
      ...[traceId, 'POST /issue', 'StartWorkflow:poaRequest', 'RunWorkflow:poaRequest'],
    );
    expect(lineage(spans, 'RunWorkflow:poaRequest').at(-1)).toBe('agentauth POST /issue');

    const refused = await stack.as('agent/crm-assistant').post('/issue', { act: 'no.such.action' });
    expect(refused.status).toBe(403);
    const [told] = await receiver
      .trace(String(refused.body.trace_id), 'POST /issue')
      .then((all) => all.filter(({ name }) => name === 'POST /issue'));
    expect(told?.attributes).toMatchObject({
      'http.response.status_code': 403,
      'atb.code': refused.body.code,
    });
    const [denied] = await eventsOf(String(refused.body.request_id));
    expect(denied?.traceId).toBe(refused.body.trace_id);
  });

  it('a later call is a trace of its own, with all that it made the run do, and points to the run', async () => {
    const finance = stack.as('agent/finance-bot');
    const asked = await finance.post('/issue', ORDER);
    expect(asked.status).toBe(202);
    const id = String(asked.body.request_id);
    await new Approver(stack, 'person/bob', 'compliance').give(id);
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    const traceparent = `00-${traceId}-b7ad6b7169203331-01`;
    expect(await finance.post(`/requests/${id}/collect`, undefined, { traceparent })).toMatchObject({
      status: 200,
    });
    const spans = await receiver.trace(
      traceId,
      ...['POST /requests/:id/collect', 'UpdateWorkflow:collect', 'HandleUpdate:collect'],
      ...['RunActivity:issueMandate', 'record-mandate'],
    );
    expect(lineage(spans, 'record-mandate')).toEqual([
      'worker record-mandate',
      'worker RunActivity:issueMandate',
      'worker HandleUpdate:collect',
      'agentauth UpdateWorkflow:collect',
      'agentauth POST /requests/:id/collect',
    ]);
    const events = await eventsOf(id);
    const traceOf = (type: string) => events.find((event) => event.type === type)?.traceId;
    expect(traceOf('poa_issued')).toBe(traceId);
    const run = await receiver.trace(String(traceOf('poa_requested')), 'RunWorkflow:poaRequest');
    const link = spans.find(({ name }) => name === 'HandleUpdate:collect')?.links?.[0];
    expect(link).toMatchObject({
      traceId: traceOf('poa_requested'),
      spanId: run.find(({ name }) => name === 'RunWorkflow:poaRequest')?.spanId,
    });
    const verdict = await receiver.trace(
      String(traceOf('poa_verdict_recorded')),
      ...['POST /requests/:id/verdicts', 'UpdateWorkflow:submitVerdict', 'HandleUpdate:submitVerdict'],
      'RunActivity:recordVerdict',
    );
    expect(lineage(verdict, 'RunActivity:recordVerdict').slice(1)).toEqual([
      'worker HandleUpdate:submitVerdict',
      'agentauth UpdateWorkflow:submitVerdict',
      'agentauth POST /requests/:id/verdicts',
    ]);
  });

  it('and on to policy, notification and signature', async () => {
    const traceId = 'a2fb4a1d1a96d312a2fb4a1d1a96d312';
    const traceparent = `00-${traceId}-00f067aa0ba902b7-01`;
    const finance = stack.as('agent/finance-bot');
    const id = String((await finance.post('/issue', ORDER, { traceparent })).body.request_id);
    await new Approver(stack, 'person/bob', 'compliance').give(id);
    const later = `00-${traceId.replaceAll('a', 'b')}-00f067aa0ba902b7-01`;
    await finance.post(`/requests/${id}/collect`, undefined, { traceparent: later });
    const spans = await receiver.trace(
      ...[traceId, 'POST', 'tell webhook', 'notifier.notify', 'RunActivity:escalate'],
      ...['RunWorkflow:poaRequest', 'RunActivity:issueAtOnce', 'policy.decide'],
      ...['StartWorkflow:poaRequest', 'POST /issue'],
    );
    expect(lineage(spans, 'POST')).toEqual([
      'worker POST',
      'worker tell webhook',
      'worker notifier.notify',
      'worker RunActivity:escalate',
      'worker RunWorkflow:poaRequest',
      'agentauth StartWorkflow:poaRequest',
      'agentauth POST /issue',
    ]);
    const step = spans.find(({ name }) => name === 'RunActivity:issueAtOnce');
    const decided = spans.filter(({ name }) => name === 'policy.decide');
    expect(decided.map(({ parentSpanId }) => parentSpanId)).toContain(step?.spanId);
    expect(decided.map(({ service }) => service)).toContain('agentauth');

    const collected = await receiver.trace(
      traceId.replaceAll('a', 'b'),
      ...['signer.sign', 'RunActivity:issueMandate', 'HandleUpdate:collect'],
      'POST /requests/:id/collect',
    );
    expect(lineage(collected, 'signer.sign').slice(0, 3)).toEqual([
      'worker signer.sign',
      'worker RunActivity:issueMandate',
      'worker HandleUpdate:collect',
    ]);
  });

  it('a refused verdict is found by the trace in its problem', async () => {
    const asked = await stack.as('agent/finance-bot').post('/issue', ORDER);
    const id = String(asked.body.request_id);
    const refused = await stack
      .as('person/bob')
      .post(`/requests/${id}/verdicts`, { verdict: 'no.jws.really' });
    expect(refused.status).toBeGreaterThanOrEqual(400);
    const told = (await eventsOf(id)).find(({ type }) => type === 'poa_verdict_refused');
    expect(told?.traceId).toBe(refused.body.trace_id);
  });
});

it('the revocation of a mandate is told under the trace of the call that asked for it', async () => {
  const agent = stack.as('agent/crm-assistant');
  const issued = await agent.post('/issue', LOW);
  expect((await agent.form('/revoke', { token: String(issued.body.mandate) })).status).toBe(200);
  const revoked = (await eventsOf(String(issued.body.request_id))).find(({ type }) => type === 'poa_revoked');
  const traceId = String(revoked?.traceId);
  await eventually(
    async () =>
      lineage(await receiver.trace(traceId, 'RunActivity:revokeMandate'), 'RunActivity:revokeMandate'),
    (line) => line.at(-1) === 'agentauth POST /revoke',
  );
});

describe('what leaves a process by tracing', () => {
  it('says nothing but a closed list of facts: no parameter, mandate, person, path, query or words of an error', async () => {
    const secrets = [
      ...['C-4711', 'SO-7', 'corp.example', 'eyJ', 'crm-assistant', 'bob', 'select ', 'insert '],
      ...['secret-path', WEBHOOK_SECRET.slice(6), 'it is right'],
    ];
    expect((await stack.as('agent/crm-assistant').post('/issue', LOW)).status).toBe(201);
    await stack.as('agent/crm-assistant').get('/requests/bob-secret-path?token=eyJ-secret-query');
    const lost = await stack.as('agent/crm-assistant').get('/no/such/crm-assistant/path');
    await receiver.trace(String(lost.body.trace_id), 'GET');
    expect(receiver.spans.length).toBeGreaterThan(5);
    const keys = new Set(receiver.spans.flatMap(({ attributes }) => Object.keys(attributes)));
    expect([...keys].filter((key) => !(SPAN_ATTRIBUTES as readonly string[]).includes(key))).toEqual([]);
    expect(secrets.filter((secret) => receiver.raw.includes(secret))).toEqual([]);
    expect(receiver.spans.filter(({ events = [] }) => events.length > 0)).toEqual([]);
    expect(receiver.spans.filter(({ status }) => status.message)).toEqual([]);
  });

  it('is to Temporal one header, the traceparent; the history replays with it, and without the interceptors', async () => {
    const finance = stack.as('agent/finance-bot');
    const id = String((await finance.post('/issue', ORDER)).body.request_id);
    await new Approver(stack, 'person/bob', 'compliance').give(id);
    expect((await finance.post(`/requests/${id}/collect`)).status).toBe(200);
    const workflowId = poaRequestWorkflowId(id);
    const history = await stack.withTemporal((client) =>
      client.workflow.getHandle(workflowId).fetchHistory(),
    );
    const headers = (history.events ?? []).flatMap((event) => [
      event.workflowExecutionStartedEventAttributes?.header,
      event.activityTaskScheduledEventAttributes?.header,
      event.workflowExecutionUpdateAcceptedEventAttributes?.acceptedRequest?.input?.header,
    ]);
    const fields = headers.flatMap((header) => Object.entries(header?.fields ?? {}));
    expect(fields.length).toBeGreaterThan(3);
    for (const [name, { data }] of fields) {
      expect(name).toBe('traceparent');
      expect(Buffer.from(data ?? '').toString()).toMatch(/^"00-[0-9a-f]{32}-[0-9a-f]{16}-01"$/);
    }

    const keys = await readCodecKeys(String(stack.environment.ATB_CODEC_KEYS_FILE));
    const opened = recordedHistory(openedHistory(history, keys));
    const dataConverter = {
      failureConverterPath: require.resolve('../../adapters/temporal/failure-converter'),
    };
    const options = { ...workflowOptions(), dataConverter, sinks: workflowTraces };
    for (const each of [options, { ...options, interceptors: {} }]) {
      await Worker.runReplayHistory(each, opened, workflowId);
    }
  });

  it.each(['00-forged', { traceparent: 'x' }, null, 7])(
    'a forged header, %j, is no trace, and keeps no workflow from its end',
    async (forged) => {
      const keys = await readCodecKeys(String(stack.environment.ATB_CODEC_KEYS_FILE));
      const dataConverter = sealedDataConverter(keys, 'throw');
      const header = { traceparent: defaultPayloadConverter.toPayload(forged) };
      await stack.withTemporal(({ connection, options }) =>
        new Client({
          connection,
          namespace: options.namespace,
          dataConverter,
          interceptors: {
            workflow: [{ startWithDetails: (input, next) => next({ ...input, headers: header }) }],
          },
        }).workflow.execute(READINESS, { taskQueue: TASK_QUEUE, workflowId: `readiness/${randomUUID()}` }),
      );
      expect(receiver.spans.filter(({ name }) => name === `RunWorkflow:${READINESS}`)).toEqual([]);
    },
  );
});

describe('a receiver that is not there', () => {
  it('changes nothing, and holds up neither an answer nor the end of a process', async () => {
    await receiver.stop();
    const timed = async (work: () => Promise<unknown>) => {
      const started = performance.now();
      await work();
      return performance.now() - started;
    };
    // The quickest of three: what holds them up holds up each of them, and a machine that stands still one.
    const issues: number[] = [];
    const ends: number[] = [];
    for (let n = 0; n < 3; n++) {
      const issue = async () => {
        const issued = await stack.as('agent/crm-assistant').post('/issue', LOW);
        expect(issued.status).toBe(201);
      };
      issues.push(await timed(issue));
      if (ends.some((took) => took < 8_000)) continue;
      ends.push(await timed(() => stack.agentauth.stop()));
      stack.agentauth.start();
      await stack.ready();
    }
    expect(Math.min(...issues)).toBeLessThan(5_000);
    expect(Math.min(...ends)).toBeLessThan(8_000);
  });
});

it('without an endpoint no tracer is loaded', () => {
  const script = `
    require('./dist/adapters/temporal/traces.js');
    require('./dist/apps/tracing.js').openTracing('worker', process.env).then(() => {
      const loaded = Object.keys(require.cache).filter((file) => /@opentelemetry/.test(file));
      console.log(JSON.stringify(loaded.map((file) => /@opentelemetry.([a-z-]+)/.exec(file)[1])));
    });`;
  const loaded = (environment: Record<string, string>) =>
    new Set(
      JSON.parse(
        execFileSync(process.execPath, ['-e', script], { env: environment, encoding: 'utf8' }),
      ) as string[],
    );
  expect(loaded({})).not.toContain('sdk-trace-base');
  expect(loaded({ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_SDK_DISABLED: 'true' })).not.toContain(
    'sdk-trace-base',
  );
  expect(loaded({ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url })).toContain('sdk-trace-base');
});
