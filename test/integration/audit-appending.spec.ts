import { randomUUID } from 'node:crypto';
import { PostgresLedger } from '../../adapters/postgres/ledger';
import { PostgresRedemptions } from '../../adapters/postgres/redemptions';
import { migrate } from '../../adapters/postgres/schema';
import type { AuditEvent } from '../../domain/audit-event';
import { bestTime, timed } from '../support/best-time';
import { TestDatabase } from '../support/database';
import { anEvent } from '../support/ledger-contract';

describe.each([
  ['the worker', (url: string) => new PostgresLedger(url)],
  ['the broker', (url: string) => new PostgresRedemptions(url)],
])('events that %s appends', (_, open) => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await TestDatabase.start();
    await migrate(database.url);
  });
  afterAll(() => database.stop());

  const some = (count: number): AuditEvent[] =>
    Array.from({ length: count }, () => anEvent('poa_redemption_refused', randomUUID()));
  const written = (events: readonly AuditEvent[]): Promise<number> =>
    database.session(async (client) => {
      const ids = events.map(({ id }) => id);
      const { rows } = await client.query<{ written: number }>(
        'select count(*)::integer as written from audit_event where id = any ($1)',
        [ids],
      );
      return rows[0]?.written ?? 0;
    });

  it('share transactions when many come at once, and are there when they are answered', async () => {
    const store = open(database.serviceUrl);
    await store.append(anEvent('poa_redemption_refused', randomUUID()));
    const events = some(500);
    await Promise.all(events.map((event) => store.append(event)));
    expect(await written(events)).toBe(500);
    const transactions = await database.session(async (client) => {
      const { rows } = await client.query<{ n: number }>(
        'select count(distinct xmin::text)::integer as n from audit_event where id = any ($1)',
        [events.map(({ id }) => id)],
      );
      return rows[0]?.n;
    });
    expect(transactions).toBeLessThan(20);
    await store.end();
  });

  it('are not lost at a stop: it waits until they are written (attack 41)', async () => {
    const store = open(database.serviceUrl);
    const events = some(300);
    const appended = Promise.all(events.map((event) => store.append(event)));
    await store.end();
    expect(await written(events)).toBe(300);
    await appended;
  });

  it('fail for each who wrote when their batch fails, none in silence, and go on afterwards (attack 41)', async () => {
    const store = open(database.serviceUrl);
    const events = some(50);
    await database.session((client) => client.query('alter table audit_event rename to away'));
    const outcomes = await Promise.allSettled(events.map((event) => store.append(event)));
    await database.session((client) => client.query('alter table away rename to audit_event'));
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'audit_unavailable' } });
    }
    expect(await written(events)).toBe(0);
    await Promise.all(events.map((event) => store.append(event)));
    expect(await written(events)).toBe(50);
    await store.end();
  });

  it('are held up by none that is no event', async () => {
    const store = open(database.serviceUrl);
    const events = some(10);
    const bad = { ...anEvent('poa_redemption_refused', randomUUID()), data: { smuggled: true } };
    const outcomes = await Promise.allSettled([bad, ...events].map((event) => store.append(event)));
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', ...events.map(() => 'fulfilled')]);
    expect(await written(events)).toBe(10);
    await store.end();
  });

  it('are written once, however often and by however many they are told', async () => {
    const stores = [open(database.serviceUrl), open(database.serviceUrl)];
    const events = some(40);
    await Promise.all(stores.flatMap((store) => [...events, ...events].map((event) => store.append(event))));
    expect(await written(events)).toBe(40);
    await Promise.all(stores.map((store) => store.end()));
  });

  it('wait for a slow store no longer than a caller can, and are not written behind its back', async () => {
    const store = open(database.serviceUrl);
    const [event] = some(1) as [AuditEvent];
    await database.session(async (client) => {
      await client.query('begin');
      await client.query('lock table audit_event in access exclusive mode');
      const time = await bestTime(5_000, () =>
        timed(() => expect(store.append(event)).rejects.toMatchObject({ code: 'audit_unavailable' })),
      );
      expect(time).toBeLessThan(5_000);
      await client.query('rollback');
    });
    await store.append(event);
    expect(await written([event])).toBe(1);
    await store.end();
  });
});
