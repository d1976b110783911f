import type { Pool } from 'pg';
import type { AuditLeaf, AuditLeaves } from '../../domain/ports';
import { openPool } from './pool';
import { rowsOf } from './rows';

const POOL = { size: 2, connectTimeoutMs: 2_000, statementTimeoutMs: 10_000 } as const;
// A statement's worth: short enough for its timeout, and little to keep in memory.
const PLACED_AT_ONCE = 10_000;
const PAGE = 1_000;

const READ = `
  select leaf_index, leaf from audit_leaf join audit_event using (seq)
  where leaf_index >= $1 and leaf_index < $2 order by leaf_index`;

/** The leaves of the audit log in PostgreSQL; see 0010-audit-leaf. */
export class PostgresAuditLeaves implements AuditLeaves {
  private readonly pool: Pool;

  constructor(url: string) {
    this.pool = openPool(url, POOL);
  }

  size(): Promise<number> {
    return placedSize(this.pool);
  }

  async *read(from: number, to: number): AsyncGenerator<AuditLeaf> {
    for (let start = from; start < to; start += PAGE) {
      const rows = await rowsOf<{ leaf_index: string; leaf: string }>(this.pool, 'read', READ, [
        start,
        Math.min(start + PAGE, to),
      ]);
      for (const { leaf_index: index, leaf } of rows) yield { index: Number(index), leaf: Buffer.from(leaf) };
      if (rows.length === 0) return;
    }
  }

  async end(): Promise<void> {
    await this.pool.end();
  }
}

/** Gives what was committed by now its place; answers how many leaves there are. Throws `audit_unavailable`. */
export async function placedSize(pool: Pool): Promise<number> {
  for (let placed = PLACED_AT_ONCE; placed === PLACED_AT_ONCE;) {
    const [row] = await rowsOf<{ placed: number }>(pool, 'place', 'select audit_sequence($1) as placed', [
      PLACED_AT_ONCE,
    ]);
    placed = row?.placed ?? 0;
  }
  const [row] = await rowsOf<{ size: string }>(
    pool,
    'size',
    'select coalesce(max(leaf_index) + 1, 0) as size from audit_leaf',
    [],
  );
  return Number(row?.size);
}
