import type { Pool } from 'pg';
import type { AuditEvent } from '../../domain/audit-event';
import { recordedLeaf } from '../audit-log/leaf';
import { Batch } from './batch';
import { unavailable } from './unavailable';

// A second batch is on its way while the first is flushed to disk; more would only make smaller ones.
const BATCH = { items: 256, atOnce: 2 } as const;

const APPEND =
  'insert into audit_event (leaf) select leaf from unnest($1::text[]) as leaf on conflict (id) do nothing';

/**
 * Appends events that establish nothing else. Those that come while others are written share one transaction, and one
 * flush to disk: each is durable when it is answered, or its writer is told that it is not.
 */
export class AuditAppender {
  private readonly leaves: Batch<string, true>;

  constructor(pool: Pool) {
    this.leaves = new Batch(async (leaves) => {
      try {
        await pool.query({ name: 'append', text: APPEND, values: [leaves] });
      } catch (cause) {
        throw unavailable(cause);
      }
      return leaves.map(() => true as const);
    }, BATCH);
  }

  /** Throws `audit_unavailable`; `internal` for an event that is not in the vocabulary, which holds up no other. */
  async append(event: AuditEvent): Promise<void> {
    await this.leaves.add(recordedLeaf(event));
  }

  /** Settles when everything that waits was written, or failed. */
  drained(): Promise<void> {
    return this.leaves.drained();
  }
}
