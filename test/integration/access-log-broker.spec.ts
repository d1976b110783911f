import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { segmentsOf } from '../../adapters/access-log/segments';
import { ChannelCredentials, Client as GrpcClient } from '@grpc/grpc-js';
import { CHECK } from '../../apps/broker/gateway/ext-authz-grpc';
import { FINANCE_BOT, TestBroker } from '../support/broker';
import { eventually } from '../support/eventually';

const GATEWAY = 'spiffe://corp.example/gateway/envoy';
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';

let test: TestBroker;
const sent: string[] = [];

beforeAll(async () => {
  test = await TestBroker.start({
    environment: { ATB_TRUSTED_PROXIES: GATEWAY, ATB_BROKER_GRPC_PORT: '0' },
  });
});
afterAll(() => test.stop());

async function logText(): Promise<string> {
  const folder = join(test.directory, 'access-log', 'broker');
  const segments = await segmentsOf(folder);
  return (await Promise.all(segments.map(({ name }) => readFile(join(folder, name), 'utf8')))).join('');
}

/** A check as Envoy asks for it over gRPC. */
async function overGrpc({
  cert,
  compact,
}: {
  readonly cert: string;
  readonly compact: string;
}): Promise<void> {
  const own = await test.identity(GATEWAY);
  const [ca, key, chain] = [test.ca.certificatePem, own.key, own.cert].map((pem) => Buffer.from(pem));
  const client = new GrpcClient(
    `localhost:${test.broker.extAuthzGrpcPort ?? 0}`,
    ChannelCredentials.createSsl(ca, key, chain),
  );
  const headers = { authorization: `PoA ${compact}`, 'content-type': 'application/json' };
  const http = { method: 'POST', path: '/payments', host: 'api.corp.example', headers };
  const attributes = {
    source: { certificate: encodeURIComponent(cert) },
    contextExtensions: { connector: 'erp' },
    request: { http: { ...http, rawBody: Buffer.from('{"amount":100}') } },
  };
  await new Promise<void>((resolve, reject) => {
    const told = (error: Error | null) => {
      client.close();
      if (error) reject(error);
      else resolve();
    };
    client.makeUnaryRequest(
      ...([CHECK.path, CHECK.requestSerialize, CHECK.responseDeserialize] as const),
      ...([{ attributes } as never, told] as const),
    );
  });
}

/** The line of a call, once it is written. */
async function lineOf(call: () => Promise<unknown>): Promise<Record<string, unknown>> {
  const before = (await logText()).split('\n').length;
  await call();
  const lines = await eventually(
    async () => (await logText()).split('\n'),
    ({ length }) => length > before,
    20,
  );
  return JSON.parse(lines[before - 1] ?? '') as Record<string, unknown>;
}

async function mandate(): Promise<string> {
  const compact = await test.mint();
  sent.push(compact);
  return compact;
}

describe('the broker’s access log', () => {
  it('has a line for a call that went through, with who, where, what came of it and its trace', async () => {
    const claims = await test.claims();
    const compact = await test.keys.signer.sign(claims);
    sent.push(compact);
    const line = await lineOf(() =>
      test.pay(compact, { headers: { traceparent: `00-${TRACE}-00f067aa0ba902b7-01` } }),
    );
    expect(line).toEqual({
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as string,
      id: expect.stringMatching(/^[A-Za-z0-9_-]{22}$/) as string,
      process: 'broker',
      trace_id: TRACE,
      client: FINANCE_BOT,
      method: 'POST',
      route: '/c/erp/payments',
      status: 200,
      duration_ms: expect.any(Number) as number,
      bytes: '{"done":true}'.length,
      request_id: claims.req,
      code: null,
    });
  });

  it('says why a call was refused, under the trace of the problem and of the audit event', async () => {
    const compact = await mandate();
    let traceId: unknown;
    const line = await lineOf(async () => {
      const { body } = await test.pay(compact, { body: { amount: 31_337 } });
      traceId = body.trace_id;
    });
    expect(line).toMatchObject({ status: 403, code: 'parameter_mismatch', client: FINANCE_BOT });
    expect(line.trace_id).toBe(traceId);
    const event = (await test.events('poa_redemption_refused')).at(-1);
    expect(event).toMatchObject({ traceId });
  });

  it('has a line for what never was a request, and names no route where none matched', async () => {
    const raw = await lineOf(() => test.raw('POST /c/erp/secret-path HTTP/1.1\r\nbroken header\r\n\r\n'));
    expect(raw).toMatchObject({
      client: FINANCE_BOT,
      route: 'none',
      status: 400,
      code: 'call_malformed',
    });
    const nowhere = await lineOf(async () =>
      (await test.caller()).get('/c/erp/secret-path?secret-query=secret-value'),
    );
    expect(nowhere).toMatchObject({ route: 'none', code: 'route_unknown', client: FINANCE_BOT });
  });

  it('holds no mandate, token, header, body, path or query value', async () => {
    await lineOf(async () =>
      test.pay(await mandate(), {
        body: { amount: 100, memo: 'secret-body' },
        headers: { cookie: 'secret-cookie', 'user-agent': 'secret-agent' },
      }),
    );
    await lineOf(async () =>
      (await test.caller()).send('GET', '/c/erp/secret-path?secret-query=1', undefined, {
        authorization: 'Bearer secret-token',
      }),
    );
    const text = await logText();
    expect(text).toContain('/c/erp/payments');
    expect(text).not.toContain('secret');
    expect(text).not.toContain('31337');
    for (const compact of sent) for (const part of compact.split('.')) expect(text).not.toContain(part);
  });

  it('has the agent, the route and the reason of what comes by the other ways in', async () => {
    const { cert } = await test.identity(FINANCE_BOT);
    const gateway = await test.caller(GATEWAY);
    const byHttp = async (amount: number, compact: string) =>
      gateway.post(
        '/ext_authz/erp/payments',
        { amount },
        {
          authorization: `PoA ${compact}`,
          'x-forwarded-client-cert': `Cert="${encodeURIComponent(cert)}"`,
        },
      );
    const allowed = {
      client: FINANCE_BOT,
      method: 'POST',
      route: '/c/erp/payments',
      status: 200,
      code: null,
    };
    expect(await lineOf(async () => byHttp(100, await mandate()))).toMatchObject(allowed);
    expect(await lineOf(async () => byHttp(101, await mandate()))).toMatchObject({
      ...{ ...allowed, status: 403, code: 'parameter_mismatch' },
    });

    const byGrpc = (compact: string) => overGrpc({ cert, compact });
    expect(await lineOf(async () => byGrpc(await mandate()))).toMatchObject(allowed);
    expect(await lineOf(() => byGrpc('a.b.c'))).toMatchObject({
      ...{ ...allowed, route: '/ext_authz', status: 400, code: 'mandate_invalid' },
    });

    const evaluate = async (amount: number) =>
      (await test.caller()).post('/access/v1/evaluation', {
        subject: { type: 'agent', id: FINANCE_BOT },
        action: { name: 'sap.payment.execute' },
        resource: {
          type: 'connector',
          id: 'erp',
          properties: { method: 'POST', path: '/payments', body: { amount } },
        },
        context: { mandate: await mandate() },
      });
    expect(await lineOf(() => evaluate(100))).toMatchObject(allowed);
    expect(await lineOf(() => evaluate(101))).toMatchObject({ ...allowed, code: 'parameter_mismatch' });

    const bot = await test.caller();
    const mcp = (method: string, params: object) =>
      lineOf(() =>
        bot.post(
          '/mcp',
          { jsonrpc: '2.0', id: 1, method, params },
          { accept: 'application/json, text/event-stream' },
        ),
      );
    const pay = (meta: object) =>
      mcp('tools/call', { name: 'erp.post_payments', arguments: { amount: 100 }, _meta: meta });
    expect(await mcp('tools/list', {})).toMatchObject({ ...allowed, route: '/mcp' });
    expect(await pay({ 'agent-trust-broker/mandate': await mandate() })).toMatchObject(allowed);
    expect(await pay({})).toMatchObject({ ...allowed, code: 'mandate_missing' });
    expect(await mcp('tools/call', { name: 'erp.nothing' })).toMatchObject({
      ...{ ...allowed, route: '/mcp', code: 'route_unknown' },
    });
  });

  it('counts its lines, and drops none', async () => {
    const metrics = await (await fetch(`${test.broker.adminUrl}/metrics`)).text();
    expect(metrics).toMatch(/^atb_access_log_lines_total [1-9]/m);
    expect(metrics).toMatch(/^atb_access_log_dropped_total\{where="file"\} 0$/m);
  });
});
