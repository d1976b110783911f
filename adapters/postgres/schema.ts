import { Client } from 'pg';
import { MIGRATIONS } from './migrations';

// Any number that is ours: two processes that start at once migrate one after the other.
const MIGRATION_LOCK = 731_410_225;

/** Brings the database to this version. Repeating it changes nothing. */
export async function migrate(url: string): Promise<void> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  await client.connect();
  try {
    await client.query('begin');
    await client.query('select pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
    await client.query('create table if not exists schema_version (version integer primary key)');
    const { rows } = await client.query<{ version: number }>('select version from schema_version');
    const applied = new Set(rows.map(({ version }) => version));
    for (const { version, sql } of MIGRATIONS) {
      if (applied.has(version)) continue;
      await client.query(sql);
      await client.query('insert into schema_version values ($1)', [version]);
    }
    await client.query('commit');
  } finally {
    await client.end();
  }
}
