import { Pool } from 'pg';

export interface PoolLimits {
  readonly size: number;
  readonly connectTimeoutMs: number;
  readonly statementTimeoutMs: number;
}

/** Connections to the database, none of which waits without an end. */
export function openPool(url: string, { size, connectTimeoutMs, statementTimeoutMs }: PoolLimits): Pool {
  const pool = new Pool({
    connectionString: url,
    max: size,
    connectionTimeoutMillis: connectTimeoutMs,
    statement_timeout: statementTimeoutMs,
    query_timeout: statementTimeoutMs,
    keepAlive: true,
  });
  // An idle connection that breaks is replaced at its next use; that use reports what is wrong.
  pool.on('error', () => undefined);
  return pool;
}
