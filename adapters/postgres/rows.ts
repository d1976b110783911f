import type { Pool, QueryResultRow } from 'pg';
import { statement } from '../tracing/database';
import { unavailable } from './unavailable';

/** The rows of one prepared statement. Throws `audit_unavailable`. */
export async function rowsOf<Row extends QueryResultRow>(
  pool: Pool,
  name: string,
  text: string,
  values: readonly unknown[],
): Promise<Row[]> {
  try {
    const query = () => pool.query<Row>({ name, text, values: [...values] });
    return (await statement(name, query)).rows;
  } catch (error) {
    throw unavailable(error);
  }
}
