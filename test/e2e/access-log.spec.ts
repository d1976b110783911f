import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { segmentsOf } from '../../adapters/access-log/segments';
import { TestStack } from '../support/stack';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';

let test: TestStack;

beforeAll(async () => {
  test = await TestStack.start();
}, 180_000);
afterAll(() => test.stop(), 60_000);

async function text(): Promise<string> {
  const folder = join(test.directory, 'access-log', 'agentauth');
  const segments = await segmentsOf(folder);
  return (await Promise.all(segments.map(({ name }) => readFile(join(folder, name), 'utf8')))).join('');
}

/** The lines of a trace, once there are so many. */
async function linesOf(traceId: string, many = 1): Promise<readonly Record<string, unknown>[]> {
  for (let tries = 0; tries < 100; tries += 1) {
    const lines = (await text())
      .split('\n')
      .filter((line) => line.includes(traceId))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    if (lines.length >= many) return lines;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error('the lines were not written');
}

describe('AgentAuth’s access log', () => {
  it('has one trace for the call, its line, its audit events and its problem', async () => {
    const traceparent = `00-${TRACE}-00f067aa0ba902b7-01`;
    const agent = test.as('agent/crm-assistant');
    const issued = await agent.post('/issue', { act: 'crm.contact.read' }, { traceparent });
    expect(issued.status).toBe(201);
    const [line] = await linesOf(TRACE);
    expect(line).toMatchObject({
      process: 'agentauth',
      client: 'spiffe://corp.example/agent/crm-assistant',
      method: 'POST',
      route: '/issue',
      status: 201,
      request_id: issued.body.request_id,
      code: null,
    });
    expect(line?.bytes).toBeGreaterThan(100);
    const events = await (
      await test.ledger()
    ).events({ requestId: String(issued.body.request_id), limit: 9 });
    expect(new Set(events.map(({ traceId }) => traceId))).toEqual(new Set([TRACE]));

    const refused = await agent.post('/issue', { act: 'no.such.action' });
    expect(refused.status).toBe(403);
    const [refusal] = await linesOf(String(refused.body.trace_id));
    expect(refusal).toMatchObject({
      status: 403,
      code: refused.body.code,
      request_id: refused.body.request_id,
    });
  });

  it('names no caller that proved nothing, and no route that is none', async () => {
    const { body } = await test.nobody().get('/approvals');
    const [line] = await linesOf(String(body.trace_id));
    expect(line).toMatchObject({
      client: null,
      route: '/approvals',
      status: 401,
      code: 'certificate_missing',
    });
    const nowhere = await test.as('agent/crm-assistant').get('/secret-path?secret-query=1');
    const [other] = await linesOf(String(nowhere.body.trace_id));
    expect(other).toMatchObject({ route: 'none', status: 404, code: 'not_found' });
  });

  it('holds no mandate, token, header, body, path or query value', async () => {
    const agent = test.as('agent/crm-assistant');
    const issued = await agent.post(
      '/issue',
      { act: 'crm.contact.read', justification: 'secret-justification' },
      { cookie: 'secret-cookie', 'idempotency-key': 'secret-key' },
    );
    const malformed = await agent.post('/requests/eyJhbGciOiJub25lIn0.secret.path/collect');
    await linesOf(String(malformed.body.trace_id));
    await agent.form('/introspect', { token: String(issued.body.mandate) });
    await agent.get(`/requests/${String(issued.body.request_id)}?wait=0&secret-query=1`);
    const log = await text();
    expect(log).toContain('"route":"/introspect"');
    expect(log).not.toContain('secret');
    for (const part of String(issued.body.mandate).split('.')) expect(log).not.toContain(part);
  });
});
