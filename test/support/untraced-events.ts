import { readFile } from 'node:fs/promises';
import { Client } from 'pg';
import { AUDIT_EVENTS } from '../../domain/audit-event';
import type { AuditEventType } from '../../domain/audit-event';

/** The types of events that a call has to have led to, by the vocabulary, and that have no trace (issue 9). */
export async function untracedEvents(databaseUrlFile: string): Promise<readonly AuditEventType[]> {
  const client = new Client({ connectionString: (await readFile(databaseUrlFile, 'utf8')).trim() });
  await client.connect();
  try {
    const { rows } = await client.query<{ readonly type: AuditEventType }>(
      `select distinct leaf::json ->> 'type' as type from audit_event where leaf::json ->> 'trace_id' is null`,
    );
    return rows.map(({ type }) => type).filter((type) => !('uncalled' in AUDIT_EVENTS[type]));
  } finally {
    await client.end();
  }
}
