import type { Pool } from 'pg';
import type { AuditLeaf, AuditLeaves } from '../../domain/ports';
import { openPool } from './pool';
import { unavailable } from './unavailable';

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

  async size(): Promise<number> {
    for (let placed = PLACED_AT_ONCE; placed === PLACED_AT_ONCE;) {
      const [row] = await this.query<{ placed: number }>('place', 'select audit_sequence($1) as placed', [
        PLACED_AT_ONCE,
      ]);
      placed = row?.placed ?? 0;
    }
    const [row] = await this.query<{ size: string }>(
      'size',
      'select coalesce(max(leaf_index) + 1, 0) as size from audit_leaf',
      [],
    );
    return Number(row?.size);
  }

  async *read(from: number, to: number): AsyncGenerator<AuditLeaf> {
    for (let start = from; start < to; start += PAGE) {
      const rows = await this.query<{ leaf_index: string; leaf: string }>('read', READ, [
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

  private async query<Row extends object>(name: string, text: string, values: unknown[]): Promise<Row[]> {
    try {
      return (await this.pool.query<Row>({ name, text, values })).rows;
    } catch (cause) {
      throw unavailable(cause);
    }
  }
}
