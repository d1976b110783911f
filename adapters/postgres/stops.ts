import type { Pool } from 'pg';
import type { AuditEvent } from '../../domain/audit-event';
import type { StandingStop, Stops } from '../../domain/ports';
import type { LiftProposal, ListedStop, StopTarget } from '../../domain/stop';
import { PersonalData } from '../audit-log/personal-data';
import type { KeptEvent } from '../audit-log/personal-data';
import type { CodecKeys } from '../temporal/codec-keys';
import { dataOf } from './event-data';
import { openPool } from './pool';
import { PostgresSubjectKeys } from './subject-keys';
import { rowsOf } from './rows';

const POOL = { size: 4, connectTimeoutMs: 2_000, statementTimeoutMs: 3_000 } as const;

const EVENT = `
  insert into audit_event (leaf, personal) select ($1::text[])[1], ($1::text[])[2]`;

/** A bell rings in every broker with each of these (0040-redemption). */
const STOP = `
  with stopped as (
    insert into stop (scope, value, stopped_at) values ($2, $3, $4::timestamptz)
    on conflict (scope, value) do update set stopped_at = excluded.stopped_at, lifted_at = null
      where stop.lifted_at is not null
  )
  ${EVENT} on conflict (id) do nothing`;

/** What was said before it was stopped this time does not count: it was about something else. */
const STANDING = `
  select stopped_at, coalesce((
    select json_agg(json_build_array(by, extract(epoch from proposed_at)) order by proposed_at)
    from stop_lift where stop_lift.scope = stop.scope and stop_lift.value = stop.value
      and proposed_at >= date_trunc('second', stopped_at)), '[]'::json) as lifts
  from stop where scope = $1 and value = $2 and lifted_at is null`;

const LIST = `
  select scope, value, floor(extract(epoch from stopped_at))::float8 as "stoppedAt", coalesce((
    select json_agg(json_build_object('by', by, 'at', extract(epoch from proposed_at)) order by proposed_at)
    from stop_lift where stop_lift.scope = stop.scope and stop_lift.value = stop.value
      and proposed_at >= date_trunc('second', stopped_at)), '[]'::json) as lifts
  from stop where lifted_at is null order by stopped_at desc limit $1`;

const OF_TARGET = `
  ${dataOf('scope')} = $1 and ${dataOf('value')} = $2
    and audit_member(leaf, 'time') >= $3`;

const INCIDENTS = `
  select distinct ${dataOf('incident')} as incident from audit_event
  where type = 'poa_stopped' and ${OF_TARGET} and ${dataOf('incident')} is not null`;

const LIFTED = `
  select leaf, personal from audit_event where type = 'poa_stop_lifted' and ${OF_TARGET}
  order by audit_member(leaf, 'time') limit 1`;

const PROPOSE = `
  with proposed as (
    insert into stop_lift (scope, value, by, proposed_at) values ($2, $3, $4, to_timestamp($5))
    on conflict (scope, value, by) do update set proposed_at = greatest(stop_lift.proposed_at, excluded.proposed_at)
  )
  ${EVENT} on conflict (id) do nothing`;

const LIFT = `
  with lifted as (
    update stop set lifted_at = $4::timestamptz
    where scope = $2 and value = $3 and stopped_at = $5::timestamptz and lifted_at is null returning 1
  )
  ${EVENT} where exists (select from lifted) on conflict (id) do nothing`;

const AGAINST = `
  select scope, value from stop where lifted_at is null and (scope in ('everything', 'tier')
    or (scope = 'agent' and value = $1) or (scope = 'request' and value = $2))`;

/** What is stopped, in PostgreSQL: one statement, and so one transaction, a write. */
export class PostgresStops implements Stops {
  private readonly pool: Pool;
  private readonly personal: PersonalData;

  constructor(url: string, auditKeys: CodecKeys) {
    this.pool = openPool(url, POOL);
    this.personal = new PersonalData(new PostgresSubjectKeys(this.pool, auditKeys));
  }

  async stop({ scope, value }: StopTarget, event: AuditEvent): Promise<void> {
    await rowsOf(this.pool, 'stop', STOP, [await this.kept(event), scope, value, event.time]);
  }

  async standing({ scope, value }: StopTarget): Promise<StandingStop | null> {
    const [row] = await rowsOf<{ stopped_at: Date; lifts: readonly (readonly [string, number])[] }>(
      this.pool,
      'standing-stop',
      STANDING,
      [scope, value],
    );
    if (!row) return null;
    return { stoppedAt: row.stopped_at, lifts: row.lifts.map(([by, at]) => ({ by, at })) };
  }

  list(limit: number): Promise<readonly ListedStop[]> {
    return rowsOf<ListedStop>(this.pool, 'list-stops', LIST, [limit]);
  }

  async proposeLift(
    { scope, value }: StopTarget,
    { by, at }: LiftProposal,
    event: AuditEvent,
  ): Promise<void> {
    await rowsOf(this.pool, 'propose-lift', PROPOSE, [await this.kept(event), scope, value, by, at]);
  }

  async lift({ scope, value }: StopTarget, stoppedAt: Date, event: AuditEvent): Promise<void> {
    await rowsOf(this.pool, 'lift', LIFT, [await this.kept(event), scope, value, event.time, stoppedAt]);
  }

  async incidentsOf({ scope, value }: StopTarget, since: Date): Promise<readonly string[]> {
    const rows = await rowsOf<{ incident: string }>(this.pool, 'incidents-of', INCIDENTS, [
      ...[scope, value, since.toISOString()],
    ]);
    return rows.map(({ incident }) => incident);
  }

  async liftedSince(
    { scope, value }: StopTarget,
    since: Date,
  ): Promise<{ readonly by: string | null; readonly at: Date } | null> {
    const rows = await rowsOf<KeptEvent>(this.pool, 'lifted-since', LIFTED, [
      ...[scope, value, since.toISOString()],
    ]);
    const [event] = await this.personal.read(rows);
    return event ? { by: event.actor, at: event.time } : null;
  }

  against({ requestId, agent }: Parameters<Stops['against']>[0]): Promise<readonly StopTarget[]> {
    return rowsOf<StopTarget>(this.pool, 'stop-against', AGAINST, [agent, requestId]);
  }

  async append(event: AuditEvent): Promise<void> {
    await rowsOf(this.pool, 'append-stop', `${EVENT} on conflict (id) do nothing`, [await this.kept(event)]);
  }

  async end(): Promise<void> {
    await this.pool.end();
  }

  /** As a parameter of a statement: the leaf, and what is personal. */
  private async kept(event: AuditEvent): Promise<readonly (string | null)[]> {
    const { leaf, personal } = await this.personal.kept(event);
    return [leaf, personal];
  }
}
