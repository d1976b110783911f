import type { Pool } from 'pg';
import { openPool } from './pool';

// Of a scrape's time; and one look at a time is enough.
const POOL = { size: 1, connectTimeoutMs: 1_000, statementTimeoutMs: 2_000 } as const;

/** When a pending request was asked is what its audit event says. */
const PENDING_AGES = `
  select extract(epoch from now() - audit_member(event.leaf, 'time')::timestamptz)::float8 as age_seconds
  from poa_request request join audit_event event on event.id = request.request_id || '/poa_requested'
  where request.pending_until > now() and request.closed_at is null and request.jti is null`;

/** How long requests have waited for people. */
export class PendingAges {
  private readonly pool: Pool;

  constructor(databaseUrl: string) {
    this.pool = openPool(databaseUrl, POOL);
  }

  /** How many are in each class, by the classes' upper ends, ascending; undefined where the database is out of reach. */
  async count(belowSeconds: readonly number[]): Promise<readonly number[] | undefined> {
    let ages: readonly number[];
    try {
      const { rows } = await this.pool.query<{ age_seconds: number }>(PENDING_AGES);
      ages = rows.map((row) => row.age_seconds);
    } catch {
      // Readiness and alerts say that it is away; a scrape only has no number.
      return undefined;
    }
    const counts = belowSeconds.map(() => 0);
    for (const age of ages) {
      const at = belowSeconds.findIndex((below) => age < below);
      counts[at] = (counts[at] ?? 0) + 1;
    }
    return counts;
  }

  end(): Promise<void> {
    return this.pool.end();
  }
}
