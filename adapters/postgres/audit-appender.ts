import type { Pool } from 'pg';
import type { AuditEvent } from '../../domain/audit-event';
import type { KeptEvent, PersonalData } from '../audit-log/personal-data';
import { Batch } from './batch';
import { unavailable } from './unavailable';
import { statement } from '../tracing/database';

// A second batch is on its way while the first is flushed to disk; more would only make smaller ones.
const BATCH = { items: 256, atOnce: 2 } as const;

const APPEND = `
  insert into audit_event (leaf, personal) select leaf, personal
  from unnest($1::text[], $2::text[]) as event (leaf, personal) on conflict (id) do nothing`;

/**
 * Appends events that establish nothing else. Those that come while others are written share one transaction, and one
 * flush to disk: each is durable when it is answered, or its writer is told that it is not.
 */
export class AuditAppender {
  private readonly events: Batch<KeptEvent, true>;
  private readonly appending = new Set<Promise<void>>();

  constructor(
    pool: Pool,
    private readonly personal: PersonalData,
  ) {
    this.events = new Batch(async (events) => {
      const values = [events.map(({ leaf }) => leaf), events.map(({ personal: apart }) => apart)];
      try {
        await pool.query({ name: 'append', text: APPEND, values });
      } catch (cause) {
        throw unavailable(cause);
      }
      return events.map(() => true as const);
    }, BATCH);
  }

  /** Throws `audit_unavailable`; `internal` for an event that is not in the vocabulary, which holds up no other. */
  async append(event: AuditEvent): Promise<void> {
    const appended = this.appendNow(event);
    this.appending.add(appended);
    try {
      await appended;
    } finally {
      this.appending.delete(appended);
    }
  }

  /** Settles when everything that waits was written, or failed. */
  async drained(): Promise<void> {
    await Promise.allSettled(this.appending);
  }

  private async appendNow(event: AuditEvent): Promise<void> {
    const kept = await this.personal.kept(event);
    await statement('append', () => this.events.add(kept));
  }
}
