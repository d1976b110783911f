import type { Pool } from 'pg';
import type { AuditEvent } from '../../domain/audit-event';
import type { Changes, OpenChange } from '../../domain/ports';
import { CHANGE_KINDS } from '../../domain/proposal';
import { PersonalData } from '../audit-log/personal-data';
import type { KeptEvent } from '../audit-log/personal-data';
import type { CodecKeys } from '../temporal/codec-keys';
import { eventWhere } from './event-where';
import { dataOf } from './event-data';
import { openPool } from './pool';
import { rowsOf } from './rows';
import { PostgresSubjectKeys } from './subject-keys';

const POOL = { size: 2, connectTimeoutMs: 2_000, statementTimeoutMs: 3_000 } as const;

const APPEND = `with one as (select 1) ${eventWhere('one')}`;

const EVENTS = 'select leaf, personal from audit_event where id = any($1)';

const OPEN = `
  select p.id, case when p.outcome is null then 'pending' when ended.id is null then 'approved' else 'review' end as state
  from proposal p
  left join audit_event begun on begun.id = p.id || '/change/begun'
  left join audit_event ended on ended.id = p.id || '/change/ended'
  left join audit_event review on review.id = p.id || '/change/review'
  where p.kind = any($1) and (
    (ended.id is null and (p.outcome is null or (p.outcome = 'approved' and begun.id is null)))
    or (begun.id is not null and ended.id is not null and p.kind = 'emergency_change' and review.id is null))
  order by p.proposed_at, p.id limit $2`;

const UNFINISHED = `
  select p.id, begun.leaf, begun.personal from proposal p
  join audit_event begun on begun.id = p.id || '/change/begun'
  left join audit_event ended on ended.id = p.id || '/change/ended'
  left join audit_event review on review.id = p.id || '/change/review'
  where p.kind = any($1) and (ended.id is null or (p.kind = 'emergency_change' and review.id is null))
  order by p.id limit $2`;

const COUNT_UNDER_WAY = `
  select count(*)::int as under_way, count(*) filter (
    where to_timestamp((${dataOf('window_until', 'begun.leaf')})::float8) < now())::int as overdue
  from proposal p
  join audit_event begun on begun.id = p.id || '/change/begun'
  left join audit_event ended on ended.id = p.id || '/change/ended'
  where p.kind = any($1) and ended.id is null`;

/** How many changes are under way, and how many of them beyond their window. */
export interface ChangesUnderWay {
  readonly underWay: number;
  readonly overdue: number;
}

/** What the audit log in PostgreSQL knows of changes. */
export class PostgresChanges implements Changes {
  private readonly pool: Pool;
  private readonly personal: PersonalData;

  constructor(url: string, auditKeys: CodecKeys) {
    this.pool = openPool(url, POOL);
    this.personal = new PersonalData(new PostgresSubjectKeys(this.pool, auditKeys));
  }

  async append(event: AuditEvent): Promise<void> {
    const { leaf, personal } = await this.personal.kept(event);
    await rowsOf(this.pool, 'append-change', APPEND, [[leaf, personal]]);
  }

  async eventsOf(ids: readonly string[]): Promise<ReadonlyMap<string, AuditEvent>> {
    const rows = await rowsOf<KeptEvent>(this.pool, 'change-events', EVENTS, [ids]);
    return new Map((await this.personal.read(rows)).map((event) => [event.id, event]));
  }

  open(limit: number): Promise<readonly OpenChange[]> {
    return rowsOf<OpenChange>(this.pool, 'open-changes', OPEN, [[...CHANGE_KINDS], limit]);
  }

  async unfinished(limit: number): Promise<readonly { readonly id: string; readonly statement: string }[]> {
    const rows = await rowsOf<KeptEvent & { id: string }>(this.pool, 'unfinished-changes', UNFINISHED, [
      [...CHANGE_KINDS],
      limit,
    ]);
    const begun = await this.personal.read(rows);
    return rows.map(({ id }, index) => {
      const statement = begun[index]?.data.statement;
      // Of an erased person: it is rolled back all the same.
      return { id, statement: typeof statement === 'string' ? statement : '' };
    });
  }

  async countUnderWay(): Promise<ChangesUnderWay> {
    const [row] = await rowsOf<{ under_way: number; overdue: number }>(
      this.pool,
      'count-changes-under-way',
      COUNT_UNDER_WAY,
      [[...CHANGE_KINDS]],
    );
    return { underWay: row?.under_way ?? 0, overdue: row?.overdue ?? 0 };
  }

  async end(): Promise<void> {
    await this.pool.end();
  }
}
