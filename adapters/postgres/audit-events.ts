import type { Pool } from 'pg';
import type { AuditEvent } from '../../domain/audit-event';
import { PersonalData } from '../audit-log/personal-data';
import type { KeptEvent } from '../audit-log/personal-data';
import type { CodecKeys } from '../temporal/codec-keys';
import { placedSize } from './audit-leaves';
import { openPool } from './pool';
import { rowsOf } from './rows';
import { PostgresSubjectKeys } from './subject-keys';

const POOL = { size: 2, connectTimeoutMs: 2_000, statementTimeoutMs: 10_000 } as const;
// So many events are looked at in one statement, that none takes long however few of them are wanted.
const LOOKED_AT_ONCE = 5_000;

/** Which events; what is not told is not asked for. */
export interface EventFilter {
  readonly requestId?: string | undefined;
  readonly id?: string | undefined;
  readonly types?: readonly string[] | undefined;
  /** The agent that they are about. */
  readonly agent?: string | undefined;
  readonly action?: string | undefined;
  readonly tier?: string | undefined;
  readonly outcome?: string | undefined;
  /** Inclusive. */
  readonly since?: Date | undefined;
  /** Exclusive. */
  readonly until?: Date | undefined;
}

/** An event with its place in the log, from 0 on. */
export interface PlacedEvent extends AuditEvent {
  readonly index: number;
}

const READ = `
  select leaf_index, leaf, personal from audit_leaf join audit_event using (seq)
  where leaf_index >= $1 and leaf_index < $2
    and ($3::text is null or request_id = $3) and ($4::text is null or id = $4)
    and ($5::text[] is null or type = any($5))
    and ($6::text is null or audit_member(leaf, 'subject') = $6)
    and ($7::text is null or audit_member(leaf, 'action') = $7)
    and ($8::text is null or audit_member(leaf, 'tier') = $8)
    and ($9::text is null or audit_member(leaf, 'outcome') = $9)
    and ($10::text is null or audit_member(leaf, 'time') >= $10)
    and ($11::text is null or audit_member(leaf, 'time') < $11)
  order by leaf_index`;

/** The audit log in its order, for who reads it: with what is personal, where the keys are there and it is not erased. */
export class PostgresAuditEvents {
  private readonly pool: Pool;
  private readonly personal: PersonalData;

  constructor(url: string, auditKeys?: CodecKeys) {
    this.pool = openPool(url, POOL);
    this.personal = new PersonalData(auditKeys ? new PostgresSubjectKeys(this.pool, auditKeys) : null);
  }

  /** Gives what was committed by now its place; answers how many events there are. Throws `audit_unavailable`. */
  size(): Promise<number> {
    return placedSize(this.pool);
  }

  /** Those of the events from `from` up to, but without, `to` that are asked for. */
  async *read(filter: EventFilter, from: number, to: number): AsyncGenerator<PlacedEvent> {
    const { requestId, id, types, agent, action, tier, outcome, since, until } = filter;
    const wanted = [
      ...[requestId, id, types, agent, action, tier, outcome, since?.toISOString(), until?.toISOString()],
    ].map((value) => value ?? null);
    // An index finds what is of one request, or has one id.
    const step = requestId === undefined && id === undefined ? LOOKED_AT_ONCE : Number.MAX_SAFE_INTEGER;
    for (let start = from; start < to; start += step) {
      const rows = await rowsOf<KeptEvent & { readonly leaf_index: string }>(this.pool, 'read', READ, [
        start,
        Math.min(start + step, to),
        ...wanted,
      ]);
      const events = await this.personal.read(rows);
      for (const [position, event] of events.entries()) {
        yield { ...event, index: Number(rows[position]?.leaf_index) };
      }
    }
  }

  async end(): Promise<void> {
    await this.pool.end();
  }
}
