import { readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { segmentName, segmentsOf } from '../../adapters/access-log/segments';
import { RETENTION_SCHEDULE } from '../../workflows/contract';
import { TestStack } from '../support/stack';
import { eventually } from '../support/eventually';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';

let test: TestStack;

beforeAll(async () => {
  test = await TestStack.start();
});
afterAll(() => test.stop());

async function text(): Promise<string> {
  const folder = join(test.directory, 'access-log', 'agentauth');
  const segments = await segmentsOf(folder);
  return (await Promise.all(segments.map(({ name }) => readFile(join(folder, name), 'utf8')))).join('');
}

/** The lines of a trace, once there are so many. */
async function linesOf(traceId: string, many = 1): Promise<readonly Record<string, unknown>[]> {
  const lines = await eventually(
    async () => (await text()).split('\n').filter((line) => line.includes(traceId)),
    ({ length }) => length >= many,
    20,
  );
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
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
    // A line is written beside its answer: those of these calls are there once that of a later one is.
    await linesOf(String((await agent.get('/requests/none')).body.trace_id));
    const log = await text();
    expect(log).toContain('"route":"/introspect"');
    expect(log).not.toContain('secret');
    for (const part of String(issued.body.mandate).split('.')) expect(log).not.toContain(part);
  });
});

describe('the retention', () => {
  it('runs by its schedule, removes what is older than 90 days, and tells the audit log what it removed', async () => {
    const folder = join(test.directory, 'access-log', 'agentauth');
    const daysAgo = (days: number) => new Date(Date.now() - days * 86_400_000);
    const names = [100, 95, 80].map((days) => segmentName(daysAgo(days)));
    for (const [at, name] of names.entries()) {
      await writeFile(join(folder, name), '{}\n');
      await utimes(join(folder, name), daysAgo(100 - at), daysAgo(100 - at));
    }
    const client = await test.insider();
    const schedule = client.schedule.getHandle(RETENTION_SCHEDULE);
    const described = await schedule.describe();
    expect(described.spec.calendars).toHaveLength(1);
    await schedule.trigger();
    const ledger = await test.ledger();
    const applied = await eventually(
      () => ledger.events({ type: 'retention_applied', limit: 10 }),
      ({ length }) => length > 0,
    );
    // The second is younger than 90 days in its last line: the third was begun 80 days ago.
    expect(applied[0]?.data.stores).toMatchObject([
      { kind: 'access_log', days: 90, removed: [`agentauth/${names[0] ?? ''}`], bytes: 3 },
    ]);
    const left = await eventually(
      () => readdir(folder),
      (files) => !files.includes(names[0] ?? ''),
    );
    expect(left).toEqual(expect.arrayContaining([names[1], names[2]]));
  });
});
