import type { Pool } from 'pg';
import type { AuditEvent } from '../../domain/audit-event';
import type { Leaf } from '../../domain/audit-leaf';
import type { Clock } from '../../domain/ports';
import { recordedLeaf } from '../audit-log/leaf';
import { placedSize } from './audit-leaves';
import { openPool } from './pool';
import { inTransaction } from './transaction';

const POOL = { size: 2, connectTimeoutMs: 2_000, statementTimeoutMs: 10_000 } as const;
// So many events are looked at in one statement: little to keep in memory.
const LOOKED_AT_ONCE = 5_000;

/** Whoever is first has it; nobody waits. */
const TAKE = 'select next_index, awaited from outcome_watch for update skip locked';

/** Uses at gateways have no outcome, and say of none by when. */
const READ = `
  select id, by from (
    select id, leaf_index, audit_member(audit_member(leaf, 'data'), 'outcome_by')::bigint as by
    from audit_leaf join audit_event using (seq)
    where leaf_index >= $1 and leaf_index < $2 and type in ('poa_redeemed', 'poa_unmandated_low_risk')) as used
  where by is not null order by leaf_index`;

/** Those of these uses of which nothing more was recorded, with what was recorded where their time is over. */
const UNSETTLED = `
  select id, by, case when by <= $3::bigint then leaf end as leaf
  from unnest($1::text[], $2::bigint[]) as awaited (id, by) join audit_event used using (id)
  where not exists (select from audit_event later where later.id in (
    regexp_replace(used.id, '[^/]+$', 'outcome'),
    regexp_replace(used.id, '[^/]+$', 'given_back'),
    regexp_replace(used.id, '[^/]+$', 'outcome_missing')))`;

const RECORD = `
  insert into audit_event (leaf) select leaf from unnest($1::text[]) as missing (leaf) on conflict (id) do nothing`;

interface Awaited {
  /** Of the event of the use. */
  readonly id: string;
  /** Epoch seconds. */
  readonly by: number;
}

/** The audit log as what records missing outcomes reads it: each use once, by one process at a time. */
export class PostgresOutcomeWatch {
  private readonly pool: Pool;

  constructor(url: string) {
    this.pool = openPool(url, POOL);
  }

  /**
   * Reads on in the log, and records the outcomes that are missing by now together with how far it was read, or neither.
   * Answers how many were, and whether there is more to read; nothing, and false, where another process is at it. Throws
   * `audit_unavailable`.
   */
  async look(clock: Clock): Promise<{ readonly missing: number; readonly more: boolean }> {
    const size = await placedSize(this.pool);
    return inTransaction(this.pool, async (client) => {
      const [taken] = (await client.query<{ next_index: string; awaited: readonly Awaited[] }>(TAKE)).rows;
      if (!taken) return { missing: 0, more: false };
      const from = Number(taken.next_index);
      const to = Math.max(from, Math.min(from + LOOKED_AT_ONCE, size));
      if (to === from && taken.awaited.length === 0) return { missing: 0, more: false };
      const { rows: read } = await client.query<{ id: string; by: string }>(READ, [from, to]);
      const awaited = [...taken.awaited, ...read];
      const now = clock();
      const { rows: unsettled } = await client.query<{ id: string; by: string; leaf: string | null }>(
        UNSETTLED,
        [awaited.map(({ id }) => id), awaited.map(({ by }) => by), Math.floor(now.getTime() / 1000)],
      );
      // What the database holds is in the vocabulary.
      const missing = unsettled.flatMap(({ leaf }) =>
        leaf === null ? [] : [recordedLeaf(missingOutcomeOf(JSON.parse(leaf) as Leaf, now))],
      );
      await client.query(RECORD, [missing]);
      const left = unsettled.flatMap(({ id, by, leaf }) => (leaf === null ? [{ id, by: Number(by) }] : []));
      await client.query('update outcome_watch set next_index = $1, awaited = $2', [
        to,
        JSON.stringify(left),
      ]);
      return { missing: missing.length, more: to < size };
    });
  }

  async end(): Promise<void> {
    await this.pool.end();
  }
}

/** Under an id of its own: an outcome that comes after all is recorded too. */
function missingOutcomeOf(used: Leaf, time: Date): AuditEvent {
  const { jti = null, connector = null, route = null, outcome_by = null } = used.data;
  return {
    id: used.id.replace(/[^/]+$/, 'outcome_missing'),
    type: 'poa_redemption_outcome_missing',
    time,
    requestId: used.request_id,
    actor: null,
    subject: used.subject,
    action: used.action,
    tier: used.tier,
    reasons: ['outcome_unknown'],
    ...(used.trace_id !== null && { traceId: used.trace_id }),
    data: { jti, connector, route, outcome_by },
  };
}
