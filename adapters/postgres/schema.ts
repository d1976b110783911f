import { Client } from 'pg';
import { AtbError } from '../../domain/error';
import { MIGRATIONS } from './migrations';

/** The account that the services use: it reads and adds, and owns nothing. */
export const SERVICE_ROLE = 'atb_service';

// Any number that is ours: two that migrate at once do it one after the other.
const MIGRATION_LOCK = 731_410_225;

/**
 * What the services may do, said again after every migration. The audit log takes a leaf and nothing else: no place of
 * one's own, no change, no removal. Rights over tables that follow from owning them are not theirs, so neither are
 * triggers, indexes or definitions.
 */
const RIGHTS = `
  do $$ begin
    if not exists (select from pg_roles where rolname = '${SERVICE_ROLE}') then create role ${SERVICE_ROLE} nologin; end if;
  end $$;
  revoke create on schema public from public;
  revoke all on all tables in schema public from public, ${SERVICE_ROLE};
  revoke execute on all functions in schema public from public;
  grant usage on schema public to ${SERVICE_ROLE};
  grant select, insert, update on all tables in schema public to ${SERVICE_ROLE};
  grant execute on all functions in schema public to ${SERVICE_ROLE};
  revoke all on audit_event, audit_leaf, audit_queue, schema_version from ${SERVICE_ROLE};
  grant select, insert (leaf, personal) on audit_event to ${SERVICE_ROLE};
  grant select on audit_leaf, schema_version to ${SERVICE_ROLE};`;

/** Whether the account could change or remove an event, by right or by making itself the owner. */
const COULD_CHANGE = `
  select current_setting('is_superuser')::boolean
    or bool_or(pg_has_role(relowner, 'MEMBER')
      or has_any_column_privilege(oid, 'UPDATE')
      or has_table_privilege(oid, 'DELETE')
      or has_table_privilege(oid, 'TRUNCATE')
      or has_table_privilege(oid, 'TRIGGER')) as could_change
  from pg_class where oid in ('audit_event'::regclass, 'audit_leaf'::regclass)`;

/** Brings the database to this version, as its owner. Repeating it changes nothing. */
export async function migrate(ownerUrl: string): Promise<void> {
  await connected(ownerUrl, async (client) => {
    await client.query('begin');
    await client.query('select pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
    await client.query('create table if not exists schema_version (version integer primary key)');
    const applied = await appliedVersions(client);
    for (const { version, sql } of MIGRATIONS) {
      if (applied.has(version)) continue;
      await client.query(sql);
      await client.query('insert into schema_version values ($1)', [version]);
    }
    await client.query(RIGHTS);
    await client.query('commit');
  });
}

/**
 * Throws `configuration_invalid` where the database is not of this version, and where a service would use it with an
 * account that could change the audit log.
 */
export async function requirePrepared(serviceUrl: string): Promise<void> {
  await connected(serviceUrl, async (client) => {
    const applied = await appliedVersions(client).catch((cause: unknown) => {
      throw new AtbError('configuration_invalid', 'the database has no schema yet: run the migration', {
        cause,
      });
    });
    const missing = MIGRATIONS.filter(({ version }) => !applied.has(version));
    if (missing.length > 0) {
      throw new AtbError(
        'configuration_invalid',
        `the database lacks ${missing.length} migrations: run the migration of this version`,
      );
    }
    const { rows } = await client.query<{ could_change: boolean }>(COULD_CHANGE);
    if (rows[0]?.could_change !== false) {
      throw new AtbError(
        'configuration_invalid',
        `the account of ATB_DATABASE_URL_FILE could change the audit log: use ${SERVICE_ROLE}, not the owner`,
      );
    }
  });
}

async function appliedVersions(client: Client): Promise<ReadonlySet<number>> {
  const { rows } = await client.query<{ version: number }>('select version from schema_version');
  return new Set(rows.map(({ version }) => version));
}

async function connected(url: string, work: (client: Client) => Promise<void>): Promise<void> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}
