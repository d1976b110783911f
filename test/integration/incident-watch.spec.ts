import { randomUUID } from 'node:crypto';
import { PostgresIncidentWatch } from '../../adapters/postgres/incident-watch';
import { PostgresLedger } from '../../adapters/postgres/ledger';
import { migrate } from '../../adapters/postgres/schema';
import { IncidentWatch } from '../../apps/worker/incident-watch';
import type { WatchedReport } from '../../domain/incident-watch';
import { TestDatabase } from '../support/database';
import { anEvent } from '../support/ledger-contract';

const REPLAY = 'poa_single_use_replay_blocked';
const policy = {
  incidentWatch: () =>
    Promise.resolve({
      intervalSeconds: 1,
      rules: [
        { kind: 'mandate_replayed', events: [REPLAY], by: 'agent', threshold: 3, windowSeconds: 60 } as const,
      ],
    }),
};

let database: TestDatabase;
let ledger: PostgresLedger;
let events: PostgresIncidentWatch;
let second: PostgresIncidentWatch;

beforeAll(async () => {
  database = await TestDatabase.start({ fsync: 'off' });
  await migrate(database.url);
  ledger = new PostgresLedger(database.serviceUrl);
  events = new PostgresIncidentWatch(database.serviceUrl);
  second = new PostgresIncidentWatch(database.serviceUrl);
});
afterAll(async () => {
  await ledger.end();
  await events.end();
  await second.end();
  await database.stop();
});

const replayed = async (agent: string, times: number) => {
  const all = Array.from({ length: times }, () => anEvent(REPLAY, randomUUID(), { subject: agent }));
  await Promise.all(all.map((one) => ledger.append(one)));
  return all.map(({ id }) => id);
};

/** Every report that was made, as the incident sees it: each sighting once. */
class Sink {
  readonly calls: WatchedReport[] = [];
  fails = false;

  readonly report = (report: WatchedReport): Promise<void> => {
    this.calls.push(report);
    return this.fails ? Promise.reject(new Error('Temporal is away')) : Promise.resolve();
  };

  get sightings(): readonly string[] {
    return [...new Set(this.calls.flatMap(({ sightings }) => sightings))].sort();
  }
}

it('reports what crosses the threshold, reads each event once, and remembers what did not suffice', async () => {
  const sink = new Sink();
  const ids = await replayed('spiffe://corp.example/agent/first', 2);
  await new IncidentWatch(policy, events, sink.report).look();
  expect(sink.calls).toEqual([]);
  // Another process goes on where this one was.
  ids.push(...(await replayed('spiffe://corp.example/agent/first', 1)));
  await new IncidentWatch(policy, second, sink.report).look();
  expect(sink.sightings).toEqual([...ids].sort());
  await new IncidentWatch(policy, events, sink.report).look();
  expect(sink.calls).toHaveLength(1);
});

it('loses nothing where it fails between the report and the place, and tells the same again', async () => {
  const sink = new Sink();
  const watch = new IncidentWatch(policy, events, sink.report);
  const ids = await replayed('spiffe://corp.example/agent/second', 3);
  sink.fails = true;
  await expect(watch.look()).rejects.toThrow('Temporal is away');
  await expect(watch.look()).rejects.toThrow('Temporal is away');
  sink.fails = false;
  await watch.look();
  expect(sink.calls).toHaveLength(3);
  expect(sink.sightings).toEqual([...ids].sort());
});

it('is done by one of several at a time, and nobody waits for the other', async () => {
  await replayed('spiffe://corp.example/agent/third', 3);
  let go: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (go = resolve));
  let at: () => void = () => undefined;
  const there = new Promise<void>((resolve) => (at = resolve));
  const slow = new IncidentWatch(policy, events, () => {
    at();
    return held;
  });
  const working = slow.look();
  await there;
  const sink = new Sink();
  await new IncidentWatch(policy, second, sink.report).look();
  expect(sink.calls).toEqual([]);
  go();
  await working;
  await new IncidentWatch(policy, second, sink.report).look();
  expect(sink.calls).toEqual([]);
});

it('makes one incident of ten thousand events', async () => {
  const sink = new Sink();
  const agent = 'spiffe://corp.example/agent/storm';
  await replayed(agent, 10_000);
  await new IncidentWatch(policy, events, sink.report).look();
  expect(new Set(sink.calls.map(({ kind, cause }) => `${kind} ${cause}`))).toEqual(
    new Set([`mandate_replayed agent ${agent}`]),
  );
  expect(sink.sightings).toHaveLength(10_000);
  expect(Math.max(...sink.calls.map(({ sightings }) => sightings.length))).toBeLessThanOrEqual(502);
  const [row] = await database.session(
    async (client) => (await client.query<{ windows: object }>('select windows from incident_watch')).rows,
  );
  expect(JSON.stringify(row?.windows).length).toBeLessThan(2_000);
});

it('says how far it is behind: the age of the oldest event that was not read', async () => {
  const sink = new Sink();
  await new IncidentWatch(policy, events, sink.report).look();
  expect(await events.lagSeconds()).toBe(0);
  const age = { time: new Date(Date.now() - 300_000) };
  await ledger.append(anEvent('poa_denied', randomUUID(), age));
  await replayed('spiffe://corp.example/agent/late', 1);
  const lag = await second.lagSeconds();
  expect(lag).toBeGreaterThan(299);
  expect(lag).toBeLessThan(400);
  await new IncidentWatch(policy, events, sink.report).look();
  expect(await events.lagSeconds()).toBe(0);
});

it('finds events by their ids, and only those that the log has', async () => {
  const [id = ''] = await replayed('spiffe://corp.example/agent/found', 1);
  expect(await events.find([id, 'invented'])).toMatchObject([
    { id, type: REPLAY, agent: 'spiffe://corp.example/agent/found' },
  ]);
});
