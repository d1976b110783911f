import { randomUUID } from 'node:crypto';
import { recordedLeaf } from '../../adapters/audit-log/leaf';
import { PostgresAuditLeaves } from '../../adapters/postgres/audit-leaves';
import { PostgresLedger } from '../../adapters/postgres/ledger';
import { MIGRATIONS } from '../../adapters/postgres/migrations';
import { migrate } from '../../adapters/postgres/schema';
import { canonicalJson } from '../../domain/canonical-json';
import { leafOf, leafText } from '../../domain/audit-leaf';
import type { AuditLeaf } from '../../domain/ports';
import { TestDatabase } from '../support/database';
import { anEvent, SOON } from '../support/ledger-contract';

describe('the leaves of the audit log', () => {
  let database: TestDatabase;
  let ledger: PostgresLedger;
  let leaves: PostgresAuditLeaves;

  beforeAll(async () => {
    database = await TestDatabase.start({ fsync: 'off' });
    await migrate(database.url);
    ledger = new PostgresLedger(database.serviceUrl);
    leaves = new PostgresAuditLeaves(database.serviceUrl);
  });

  afterAll(async () => {
    await ledger.end();
    await leaves.end();
    await database.stop();
  });

  const read = async (from: number, to: number): Promise<AuditLeaf[]> => {
    const found = [];
    for await (const leaf of leaves.read(from, to)) found.push(leaf);
    return found;
  };
  const textOf = ({ leaf }: AuditLeaf) => Buffer.from(leaf).toString('utf8');

  it('are the RFC 8785 form of each event, in their order', async () => {
    const from = await leaves.size();
    const first = anEvent('poa_denied', randomUUID());
    const second = anEvent('poa_velocity_exceeded', randomUUID(), {
      time: SOON,
      reasons: ['é\u0000', '\u{1f511}'],
      data: { most: 1e21, rule: 'ä "quoted"' },
    });
    await ledger.append(first);
    await ledger.append(second);
    expect(await leaves.size()).toBe(from + 2);
    const [one, two] = await read(from, from + 10);
    expect(one).toEqual({ index: from, leaf: new TextEncoder().encode(recordedLeaf(first)) });
    expect(canonicalJson(JSON.parse(textOf(two!)))).toBe(textOf(two!));
    expect(JSON.parse(textOf(two!))).toMatchObject({
      v: 1,
      type: 'poa_velocity_exceeded',
      time: '2026-03-02T12:15:00.123Z',
      outcome: 'refused',
      reasons: second.reasons,
      data: second.data,
    });
    expect(await read(from + 1, from + 2)).toEqual([two]);
    expect(await read(from + 2, from + 20)).toEqual([]);
  });

  it('have places without a gap or a double, whoever writes, undoes and counts at once', async () => {
    const from = await leaves.size();
    const ids: string[] = [];
    let writing = true;
    const sizes: number[] = [];
    const others = [
      leaves,
      new PostgresAuditLeaves(database.serviceUrl),
      new PostgresAuditLeaves(database.serviceUrl),
    ];
    const counting = others.map(async (other) => {
      while (writing) sizes.push(await other.size());
    });
    await Promise.all(
      Array.from({ length: 8 }, async (_, writer) => {
        for (let n = 0; n < 40; n++) {
          const event = anEvent('poa_denied', `${from}/${writer}/${n}`);
          if (n % 4 === 3) {
            await database.session(async (client) => {
              await client.query('begin');
              await client.query('insert into audit_event (leaf) values ($1)', [recordedLeaf(event)]);
              await client.query('rollback');
            });
          } else {
            await Promise.all([ledger.append(event), ledger.append(event)]);
            ids.push(event.id);
          }
        }
      }),
    );
    writing = false;
    await Promise.all(counting);
    await Promise.all(others.slice(1).map((other) => other.end()));
    expect(sizes).not.toHaveLength(0);
    const size = await leaves.size();
    expect(size).toBe(from + ids.length);
    const found = await read(from, size);
    expect(found.map(({ index }) => index)).toEqual(ids.map((_, n) => from + n));
    const placed = found.map((leaf) => (JSON.parse(textOf(leaf)) as { id: string }).id);
    expect([...placed].sort()).toEqual([...ids].sort());
  });

  it('wait for nobody: what commits late is placed late', async () => {
    const [early, late] = [anEvent('poa_denied', randomUUID()), anEvent('poa_denied', randomUUID())];
    await database.session(async (client) => {
      await client.query('begin');
      await client.query('insert into audit_event (leaf) values ($1)', [recordedLeaf(late)]);
      await ledger.append(early);
      const size = await leaves.size();
      expect((await read(size - 1, size)).map(textOf)).toEqual([recordedLeaf(early)]);
      await client.query('commit');
      expect(await leaves.size()).toBe(size + 1);
      expect((await read(size, size + 1)).map(textOf)).toEqual([recordedLeaf(late)]);
    });
  });

  it('are no longer than a tile can hold', async () => {
    const size = await leaves.size();
    const event = anEvent('poa_denied', randomUUID());
    const full = Array.from({ length: 126 }, () => 'x'.repeat(512));
    const endingIn = (last: string) => ({ ...event, reasons: [...full, last] });
    const room = 65_535 - Buffer.byteLength(recordedLeaf(endingIn('x'))) + 1;
    await expect(ledger.append(endingIn('x'.repeat(room + 1)))).rejects.toMatchObject({ code: 'internal' });
    const longest = endingIn('x'.repeat(room));
    const written = (leaf: string) =>
      database.session((client) => client.query('insert into audit_event (leaf) values ($1)', [leaf]));
    await expect(written(recordedLeaf(longest).replace('xxx', 'xxxx'))).rejects.toThrow(
      'audit_event_leaf_check',
    );
    expect(await leaves.size()).toBe(size);
    await ledger.append(longest);
    expect(await leaves.size()).toBe(size + 1);
  });

  it('are given to the events that an older version wrote', async () => {
    await database.session((client) => client.query('create database older'));
    const url = database.url.replace(/\/atb$/, '/older');
    const service = database.serviceUrl.replace(/\/atb$/, '/older');
    const event = anEvent('poa_rejected', randomUUID(), {
      data: { zebra: [1, { b: 2, a: 'é' }], a: {} },
    });
    await database.session(async (client) => {
      await client.query('create table schema_version (version integer primary key)');
      await client.query(MIGRATIONS.find(({ version }) => version === 1)!.sql);
      await client.query('insert into schema_version values (1)');
      await client.query(
        `insert into audit_event (id, type, time, request_id, actor, subject, action, tier, reasons, data)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
        [
          ...[event.id, event.type, event.time, event.requestId, event.actor, event.subject, event.action],
          ...[event.tier, event.reasons, JSON.stringify(event.data)],
        ],
      );
    }, url);
    await migrate(url);
    const [older, olderLeaves] = [new PostgresLedger(service), new PostgresAuditLeaves(service)];
    expect(await older.events({ limit: 10 })).toEqual([{ seq: expect.any(Number), ...event }]);
    expect(await olderLeaves.size()).toBe(1);
    for await (const { leaf } of olderLeaves.read(0, 1))
      expect(Buffer.from(leaf).toString()).toBe(leafText(leafOf(event)));
    await older.end();
    await olderLeaves.end();
  });
});
