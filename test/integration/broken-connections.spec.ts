import { PostgresChangeTargets } from '../../adapters/postgres/change-targets';
import { PostgresIncidentWatch } from '../../adapters/postgres/incident-watch';
import { PostgresLedger } from '../../adapters/postgres/ledger';
import { migrate } from '../../adapters/postgres/schema';
import { anEvent } from '../support/ledger-contract';
import { TestDatabase } from '../support/database';
import { eventually } from '../support/eventually';

let database: TestDatabase;

beforeAll(async () => {
  database = await TestDatabase.start({ fsync: 'off' });
  await migrate(database.url);
});
afterAll(() => database.stop());

const BREAK = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'atb_service'";
const WAITING = "select from pg_stat_activity where usename = 'atb_service' and wait_event_type = 'Lock'";

describe('a connection that breaks in the middle of a transaction ends no process', () => {
  it('where a change stands in line', async () => {
    const targets = new PostgresChangeTargets(database.serviceUrl);
    await database.session(async (client) => {
      await client.query('begin');
      await client.query('lock table change_target in access exclusive mode');
      const taken = expect(targets.take('change.one.x', ['agentauth'])).rejects.toMatchObject({
        code: 'audit_unavailable',
      });
      // Seen by others: a transaction sees who waits as it was at its first look.
      await eventually(
        () => database.session((other) => other.query(WAITING)),
        ({ rowCount }) => rowCount === 1,
      );
      await database.session((other) => other.query(BREAK));
      await taken;
      await client.query('rollback');
    });
    expect(await targets.takenBy(['agentauth'], 'change.two.x')).toBeNull();
    await targets.end();
  });

  it('while somebody else is told of an incident', async () => {
    const type = 'poa_single_use_replay_blocked';
    const ledger = new PostgresLedger(database.serviceUrl);
    await ledger.append(anEvent(type, 'one'));
    await ledger.end();
    const events = new PostgresIncidentWatch(database.serviceUrl);
    const seen: number[] = [];
    const broken = events.next([type], async ({ length }) => {
      seen.push(length);
      await database.session((client) => client.query(BREAK));
      return {};
    });
    await expect(broken).rejects.toThrow();
    await events.next([type], ({ length }) => {
      seen.push(length);
      return Promise.resolve({});
    });
    expect(seen).toEqual([1, 1]);
    await events.end();
  });
});
