import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { issueSvid } from '../../adapters/spiffe/development-ca';
import { incidentWorkflowId } from '../../workflows/contract';
import { eventually } from '../support/eventually';
import { HttpCaller } from '../support/http';
import type { Answer } from '../support/http';
import { TestStack } from '../support/stack';

const AT_ONCE = 6;
const MOST_GROWTH_BYTES = 96 * 1024 * 1024;

let stack: TestStack;
let callers: HttpCaller[];

const ca = () => ({
  trustDomain: 'corp.example',
  certificatePem: readFileSync(stack.trustBundle, 'utf8'),
  privateKeyPem: readFileSync(join(stack.directory, 'ca-key.pem'), 'utf8'),
});

async function caller(spiffeId: string): Promise<HttpCaller> {
  const { chainPem: cert, privateKeyPem: key } = await issueSvid(ca(), { spiffeId, ttlHours: 1 });
  return new HttpCaller(stack.stack.agentauthUrl, ca().certificatePem, { cert, key });
}

beforeAll(async () => {
  stack = await TestStack.start();
  callers = await Promise.all(
    Array.from({ length: AT_ONCE }, () => caller('spiffe://corp.example/alertmanager')),
  );
});

afterAll(async () => {
  for (const one of callers) one.close();
  await stack.stop();
});

interface Message {
  readonly groupKey: string;
}

/** As Alertmanager (version 4) tells of alerts `from` up to `to` of one group. */
const message = (alertname: string, from: number, to: number, changes: object = {}) => ({
  ...{ version: '4', groupKey: `{}:{alertname="${alertname}"}`, truncatedAlerts: 0, status: 'firing' },
  ...{ receiver: 'atb', groupLabels: { alertname }, commonLabels: { alertname }, commonAnnotations: {} },
  externalURL: 'http://alertmanager.corp.example',
  alerts: Array.from({ length: to - from }, (_, n) => ({
    ...{ status: 'firing', labels: { alertname, instance: `host-${from + n}` }, annotations: {} },
    ...{ startsAt: '2026-11-26T05:00:00Z', endsAt: '0001-01-01T00:00:00Z', generatorURL: '' },
    fingerprint: (from + n).toString(16).padStart(16, '0'),
  })),
  ...changes,
});

/** Again where it is too much at once, as Alertmanager does. */
async function delivered(by: HttpCaller, body: Message): Promise<Answer> {
  return eventually(
    () => by.post('/incidents/alerts', body),
    ({ status }) => status !== 429 && status < 500,
    50,
  );
}

async function storm(messages: readonly Message[]): Promise<void> {
  const left = [...messages];
  await Promise.all(
    callers.map(async (by) => {
      for (let next = left.shift(); next; next = left.shift()) {
        expect((await delivered(by, next)).status).toBe(202);
      }
    }),
  );
}

function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().heapUsed;
}

const inGroups = (alertname: string, alerts: number, size: number) =>
  Array.from({ length: alerts / size }, (_, n) => message(alertname, n * size, (n + 1) * size));

const shown = async () =>
  (await stack.as('person/carol').get('/incidents')).body.incidents as Record<string, unknown>[];

it('ten thousand alerts are one incident for each cause, with its count, in little memory (alert storm)', async () => {
  // Warm, and open.
  await storm(inGroups('ATBProcessDown', 100, 100));
  const before = heapBytes();
  const all = [
    ...inGroups('ATBProcessDown', 6_000, 100).slice(1),
    ...inGroups('DiskFull', 3_500, 125),
    ...inGroups('ATBPolicySlow', 500, 1),
  ];
  expect(all.reduce((sum, { alerts }) => sum + alerts.length, 100)).toBe(10_000);
  // The same again now and then, as it is repeated while it fires, or replayed: it counts once.
  await storm(all.flatMap((one, n) => (n % 10 === 0 ? [one, one] : [one])));
  await storm(all.filter((_, n) => n % 25 === 0));
  const counts = await eventually(
    async () =>
      Object.fromEntries((await shown()).map(({ kind, count }) => [kind as string, count as number])),
    ({ ATBProcessDown, DiskFull, ATBPolicySlow }) =>
      (ATBProcessDown ?? 0) + (DiskFull ?? 0) + (ATBPolicySlow ?? 0) >= 10_000,
  );
  expect(counts).toEqual({ ATBProcessDown: 6_000, DiskFull: 3_500, ATBPolicySlow: 500 });
  expect(await shown()).toHaveLength(3);
  const grown = heapBytes() - before;
  process.stderr.write(`heap grew by ${Math.round(grown / 1024)} KiB over ${all.length} messages\n`);
  expect(grown).toBeLessThan(MOST_GROWTH_BYTES);
  for (const one of await shown()) {
    expect(JSON.stringify(one).length).toBeLessThan(2_000);
    // A long history is handed over to a new run; no run keeps all of the storm.
    const client = await stack.sealedClient();
    const { historyLength } = await client.workflow
      .getHandle(incidentWorkflowId(String(one.incident_id)))
      .describe();
    expect(historyLength).toBeLessThan(10_000);
  }
  const events = await (await stack.ledger()).events({ type: 'incident_opened', limit: 10_000 });
  expect(events).toHaveLength(3);
}, 240_000);

it('counts what Alertmanager left out of a message, and not again when it is repeated', async () => {
  const [by] = callers as [HttpCaller];
  const truncated = message('LeftOut', 0, 50, { truncatedAlerts: 9_950 });
  for (let times = 0; times < 3; times++) {
    expect(await delivered(by, truncated)).toMatchObject({ status: 202, body: { count: 10_000 } });
  }
});

it.each([[-1], [1.5], ['many'], [10_000_001]])(
  'refuses a message that left out %p',
  async (truncatedAlerts) => {
    const [by] = callers as [HttpCaller];
    expect(await by.post('/incidents/alerts', message('Odd', 0, 1, { truncatedAlerts }))).toMatchObject({
      status: 400,
      body: { code: 'incident_malformed' },
    });
  },
);

it('refuses what is too large, forged, or replayed by somebody else', async () => {
  const [by] = callers as [HttpCaller];
  const large = await by.post('/incidents/alerts', message('Large', 0, 1_000));
  expect(large.status).toBe(413);
  const replayed = message('ATBProcessDown', 0, 100);
  // Another workload of the trust domain, an agent, a person, a stranger, and nobody.
  const other = await caller('spiffe://corp.example/prometheus');
  for (const forger of [other, stack.as('agent/explorer'), stack.as('person/erin')]) {
    expect(await forger.post('/incidents/alerts', replayed)).toMatchObject({
      status: 403,
      body: { code: 'incident_reporter_unknown' },
    });
  }
  other.close();
  expect(await stack.nobody().post('/incidents/alerts', replayed)).toMatchObject({ status: 401 });
  expect((await shown()).map(({ kind }) => kind)).not.toContain('Large');
});
