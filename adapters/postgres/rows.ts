import type { Pool, QueryResultRow } from 'pg';
import { unavailable } from './unavailable';

/** The rows of one prepared statement. Throws `audit_unavailable`. */
export async function rowsOf<Row extends QueryResultRow>(
  pool: Pool,
  name: string,
  text: string,
  values: readonly unknown[],
): Promise<Row[]> {
  try {
    return (await pool.query<Row>({ name, text, values: [...values] })).rows;
  } catch (error) {
    throw unavailable(error);
  }
}
