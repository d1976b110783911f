import type { Pool } from 'pg';
import type { Json, JsonObject } from '../../domain/json';
import { watchedEventOf } from '../../domain/incident-watch';
import type { IncidentRef } from '../../domain/incident';
import type { WatchedEvent } from '../../domain/incident-watch';
import { placedSize } from './audit-leaves';
import { openPool } from './pool';
import { rowsOf } from './rows';
import { inTransaction } from './transaction';

const POOL = { size: 2, connectTimeoutMs: 2_000, statementTimeoutMs: 10_000 } as const;
// So many events are looked at in one statement, and so many of them are wanted at the most: little to keep in memory.
const LOOKED_AT_ONCE = 5_000;
const TAKEN_AT_ONCE = 500;

/** Whoever is first has it; nobody waits. */
const TAKE = 'select next_index, windows from incident_watch for update skip locked';

const READ = `
  select leaf_index, leaf from audit_leaf join audit_event using (seq)
  where leaf_index >= $1 and leaf_index < $2 and type = any($3) order by leaf_index limit ${TAKEN_AT_ONCE}`;

const LAG = `
  select greatest(0, extract(epoch from now() - audit_member(leaf, 'time')::timestamptz))::float8 as lag
  from incident_watch join audit_leaf on leaf_index = next_index join audit_event using (seq)`;

/** Neither reviewed nor known to be lost, the newest first. */
const UNCLOSED = `
  select opened.leaf from audit_event opened
  where opened.type = 'incident_opened' and not exists (
    select from audit_event later where later.id in (
      regexp_replace(opened.id, 'incident_opened$', 'incident_closed'),
      regexp_replace(opened.id, 'incident_opened$', 'incident_workflow_lost')))
  order by opened.seq desc limit $1`;

const FIND = 'select leaf from audit_event where id = any($1)';

/** The audit log as what opens incidents reads it: each event once, by one process at a time. */
export class PostgresIncidentWatch {
  private readonly pool: Pool;

  constructor(url: string) {
    this.pool = openPool(url, POOL);
  }

  /**
   * Hands over the next events of these types, with what was kept before; what `work` answers is kept together with how
   * far it was read, or, where it throws, neither is. Answers whether there is more; false too where another process is
   * at it. Throws `audit_unavailable`.
   */
  async next(
    types: readonly string[],
    work: (events: readonly WatchedEvent[], kept: Json) => Promise<JsonObject>,
  ): Promise<boolean> {
    const size = await placedSize(this.pool);
    return inTransaction(this.pool, async (client) => {
      const [taken] = (await client.query<{ next_index: string; windows: Json }>(TAKE)).rows;
      if (!taken) return false;
      const from = Number(taken.next_index);
      const to = Math.min(from + LOOKED_AT_ONCE, size);
      if (from >= to) return false;
      const { rows } = await client.query<{ leaf_index: string; leaf: string }>(READ, [from, to, types]);
      const next = rows.length < TAKEN_AT_ONCE ? to : Number(rows.at(-1)?.leaf_index) + 1;
      const events = rows.map(({ leaf }) => watchedEventOf(leaf));
      const kept = await work(events, taken.windows).catch(async (error: unknown) => {
        // Whoever looks next is not to find it taken still.
        await client.query('rollback');
        throw error;
      });
      await client.query('update incident_watch set next_index = $1, windows = $2', [
        next,
        JSON.stringify(kept),
      ]);
      return next < size;
    });
  }

  /** How old the oldest event is that was not read yet; 0 where all were. Throws `audit_unavailable`. */
  async lagSeconds(): Promise<number> {
    await placedSize(this.pool);
    const [row] = await rowsOf<{ lag: number }>(this.pool, 'watch-lag', LAG, []);
    return row?.lag ?? 0;
  }

  /** Those of these events that the log has. Throws `audit_unavailable`. */
  async find(ids: readonly string[]): Promise<readonly WatchedEvent[]> {
    const rows = await rowsOf<{ leaf: string }>(this.pool, 'find-watched', FIND, [ids]);
    return rows.map(({ leaf }) => watchedEventOf(leaf));
  }

  /** Incidents that were opened, and neither reviewed nor lost, the newest first. Throws `audit_unavailable`. */
  async unclosed(limit: number): Promise<readonly IncidentRef[]> {
    const rows = await rowsOf<{ leaf: string }>(this.pool, 'unclosed-incidents', UNCLOSED, [limit]);
    return rows.map(({ leaf }) => {
      // What the database holds is in the vocabulary.
      const { data } = JSON.parse(leaf) as { data: { incident: string; kind: string; opened_at: number } };
      return { id: data.incident, kind: data.kind, openedAt: data.opened_at };
    });
  }

  async end(): Promise<void> {
    await this.pool.end();
  }
}
