import { randomUUID } from 'node:crypto';
import { recordedLeaf } from '../../adapters/audit-log/leaf';
import { PostgresAuditLeaves } from '../../adapters/postgres/audit-leaves';
import { PostgresLedger } from '../../adapters/postgres/ledger';
import { migrate, requirePrepared } from '../../adapters/postgres/schema';
import { TestDatabase } from '../support/database';
import { anEvent } from '../support/ledger-contract';

describe('the audit log, tried by who holds the account of a service', () => {
  let database: TestDatabase;
  let ledger: PostgresLedger;
  let leaves: PostgresAuditLeaves;

  beforeAll(async () => {
    database = await TestDatabase.start({ fsync: 'off' });
    await migrate(database.url);
    ledger = new PostgresLedger(database.serviceUrl);
    leaves = new PostgresAuditLeaves(database.serviceUrl);
    await ledger.append(anEvent('poa_denied', randomUUID()));
    await leaves.size();
    await ledger.append(anEvent('poa_denied', randomUUID()));
  });

  afterAll(async () => {
    await ledger.end();
    await leaves.end();
    await database.stop();
  });

  const asService = (statements: readonly string[]) =>
    database.session(async (client) => {
      for (const statement of statements) await client.query(statement);
    }, database.serviceUrl);
  /** All that the log says, seen by its owner. */
  const everything = () =>
    database.session(async (client) => {
      const { rows } = await client.query<Record<string, unknown>>(
        `select seq, leaf, leaf_index, appended_at, audit_queue.seq as waits
         from audit_event full join audit_leaf using (seq) full join audit_queue using (seq) order by seq`,
      );
      return rows;
    });

  const leaf = (id: string) => recordedLeaf(anEvent('poa_denied', id)).replaceAll("'", "''");

  it.each<[string, string, ...string[]]>([
    ['change an event', "update audit_event set leaf = '{}'"],
    [
      'change an event through an upsert',
      `insert into audit_event (leaf) values ('${leaf('x')}') on conflict (id) do update set leaf = excluded.leaf`,
    ],
    [
      'change an event through a merge',
      'merge into audit_event using (values (1)) as other (n) on true when matched then delete',
    ],
    ['lock events so that they could be changed', 'select from audit_event for update'],
    ['delete an event', 'delete from audit_event'],
    ['empty the log', 'truncate audit_event cascade'],
    ['drop the log', 'drop table audit_event cascade'],
    ['rename the log', 'alter table audit_event rename to other'],
    ['drop a trigger', 'drop trigger audit_event_append_only on audit_event'],
    ['disable a trigger', 'alter table audit_event disable trigger audit_event_append_only'],
    ['disable all triggers', 'alter table audit_event disable trigger all'],
    [
      'add a trigger of its own',
      'create trigger mine before insert on audit_event for each row execute function audit_is_append_only()',
    ],
    ['add a rule', 'create rule mine as on insert to audit_event do instead nothing'],
    ['switch triggers off for its session', "set session_replication_role = 'replica'"],
    [
      'switch triggers off by configuration',
      "select set_config('session_replication_role', 'replica', false)",
    ],
    [
      'change the function of the trigger',
      'create or replace function audit_is_append_only() returns trigger language plpgsql as $$ begin return null; end $$',
    ],
    ['drop a function', 'drop function audit_sequence(integer) cascade'],
    ['change a column', 'alter table audit_event alter column id drop expression'],
    [
      'choose the number of an event',
      `insert into audit_event (seq, leaf) overriding system value values (1000000, '${leaf('y')}')`,
    ],
    [
      'write another id than the leaf has',
      `insert into audit_event (leaf, id) values ('${leaf('z')}', 'other')`,
    ],
    ['turn the sequence', "select setval('audit_event_seq_seq', 1, false)"],
    ['draw from the sequence', "select nextval('audit_event_seq_seq')"],
    ['restart the sequence', 'alter sequence audit_event_seq_seq restart'],
    [
      'place a leaf where it wants',
      'insert into audit_leaf (leaf_index, seq) select 7, max(seq) from audit_event',
    ],
    ['move a leaf', 'update audit_leaf set leaf_index = 9'],
    ['remove a leaf', 'delete from audit_leaf'],
    ['empty the leaves', 'truncate audit_leaf'],
    ['take an event out of the queue', 'delete from audit_queue'],
    ['put an event into the queue again', 'insert into audit_queue select min(seq) from audit_event'],
    ['become the owner', 'set role atb'],
    ['become the owner for the session', 'set session authorization atb'],
    ['give itself the owner', 'grant atb to atb_service'],
    ['take ownership', 'alter table audit_event owner to atb_service'],
    ['give itself rights', 'grant all on audit_event to atb_service', 'delete from audit_event'],
    ['make itself superuser', 'alter role atb_service superuser'],
    ['pretend an older schema', 'delete from schema_version'],
    ['put a table of its own in front', 'create table public.other (n integer)'],
  ])('cannot %s', async (_, ...statements) => {
    const before = await everything();
    await expect(asService(statements)).rejects.toThrow(
      /permission denied|must be owner|must be able|non-DEFAULT|GENERATED/i,
    );
    expect(await everything()).toEqual(before);
  });

  it('cannot lead a function of the owner astray with tables of its session', async () => {
    const before = await leaves.size();
    await asService([
      'create temporary table audit_leaf (leaf_index bigint, seq bigint)',
      'create temporary table audit_queue (seq bigint)',
      'insert into pg_temp.audit_queue values (1)',
      'insert into pg_temp.audit_leaf values (1000, 1)',
      "create function pg_temp.coalesce(a bigint, b bigint) returns bigint language sql as 'select 5000::bigint'",
      'select audit_sequence(100)',
    ]);
    expect(await leaves.size()).toBe(before);
  });

  it('cannot call the function of a trigger by itself', async () => {
    await expect(asService(['select audit_enqueue()'])).rejects.toThrow(
      'trigger functions can only be called',
    );
  });

  it('can add, and what it adds is placed next, whatever number it asks for', async () => {
    const size = await leaves.size();
    await asService([`insert into audit_event (leaf) values ('${leaf(randomUUID())}')`]);
    expect(await leaves.size()).toBe(size + 1);
  });

  it.each([
    "'{}'",
    "'null'",
    "'no json'",
    `'${leaf('w').replace('"poa_denied"', 'null')}'`,
    "repeat('x', 65536)",
  ])('cannot add what is no event: %s', async (text) => {
    const before = await everything();
    await expect(asService([`insert into audit_event (leaf) values (${text})`])).rejects.toThrow();
    expect(await everything()).toEqual(before);
  });

  it.each(['update audit_leaf set leaf_index = 9', 'delete from audit_leaf', 'truncate audit_leaf cascade'])(
    'is append-only for its owner too, who would have to take the triggers off first: %s',
    async (statement) => {
      await expect(database.session((client) => client.query(statement))).rejects.toThrow('append-only');
    },
  );

  describe('a service', () => {
    it('starts with the account of the services', async () => {
      await expect(requirePrepared(database.serviceUrl)).resolves.toBeUndefined();
    });

    it('does not start with the account of the owner', async () => {
      await expect(requirePrepared(database.url)).rejects.toThrow('could change the audit log');
    });

    it.each([
      ['may become the owner', 'grant owning to lax'],
      ['may change events', 'grant update (leaf) on audit_event to lax'],
      ['may remove leaves', 'grant delete on audit_leaf to lax'],
      ['may empty the log', 'grant truncate on audit_event to lax'],
      ['may add triggers', 'grant trigger on audit_event to lax'],
    ])('does not start with an account that %s', async (_, grant) => {
      const own = `lax_${randomUUID().slice(0, 8)}`;
      const url = new URL(database.serviceUrl);
      await database.session(async (client) => {
        await client.query(`create role ${own} login password 'lax' in role atb_service`);
        if (grant.includes('owning')) {
          await client.query(`create role owner_${own}`);
          await client.query(`alter table audit_event owner to owner_${own}`);
        }
        await client.query(grant.replace('owning', `owner_${own}`).replace(/lax$/, own));
      });
      url.username = own;
      url.password = 'lax';
      try {
        await expect(requirePrepared(url.href)).rejects.toThrow('could change the audit log');
      } finally {
        await database.session((client) => client.query('alter table audit_event owner to atb'));
      }
    });

    it('does not start on a database without a schema, or with an older one', async () => {
      await database.session((client) => client.query('create database empty'));
      const [owner, service] = [database.url, database.serviceUrl].map((url) =>
        url.replace(/\/atb$/, '/empty'),
      );
      await expect(requirePrepared(service!)).rejects.toThrow('run the migration');
      await migrate(owner!);
      await requirePrepared(service!);
      await database.session(
        (client) => client.query('delete from schema_version where version = 10'),
        owner,
      );
      await expect(requirePrepared(service!)).rejects.toThrow('lacks 1 migrations');
    });
  });
});
