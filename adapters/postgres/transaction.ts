import type { Pool, PoolClient, QueryResultRow } from 'pg';
import { statement } from '../tracing/database';
import { unavailable } from './unavailable';

/** What is done in one transaction, or not at all where it throws. Throws `audit_unavailable` without a connection. */
export async function inTransaction<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect().catch((cause: unknown) => {
    throw unavailable(cause);
  });
  let broken: Error | undefined;
  // Outside the pool nobody listens, and an 'error' that nobody hears ends the process; the query reports it too.
  const heard = () => undefined;
  client.on('error', heard);
  try {
    await client.query('begin');
    const done = await work(client);
    await client.query('commit');
    return done;
  } catch (error) {
    // Not used again: its transaction may still be open, and ends with it.
    broken = error instanceof Error ? error : new Error(String(error));
    throw error;
  } finally {
    client.release(broken);
    client.off('error', heard);
  }
}

/**
 * One statement under an advisory lock: the lock is taken first, so that the statement sees what its last holder wrote.
 * Throws `audit_unavailable`.
 */
export function underLock<Row extends QueryResultRow>(
  pool: Pool,
  lock: number,
  name: string,
  text: string,
  values: readonly unknown[],
): Promise<Row[]> {
  return statement(name, async () => {
    try {
      return await inTransaction(pool, async (client) => {
        await client.query('select pg_advisory_xact_lock($1)', [lock]);
        return (await client.query<Row>({ name, text, values: [...values] })).rows;
      });
    } catch (error) {
      throw unavailable(error);
    }
  });
}
