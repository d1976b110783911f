import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import type { AuditEvent } from '../../domain/audit-event';
import { AtbError } from '../../domain/error';
import type { ChangeHolds, HeldChange } from '../../domain/ports';
import { PersonalData } from '../audit-log/personal-data';
import type { CodecKeys } from '../temporal/codec-keys';
import { eventWhere } from './event-where';
import { openPool } from './pool';
import { rowsOf } from './rows';
import { PostgresSubjectKeys } from './subject-keys';

// Renewals must not wait behind anything else.
const POOL = { size: 4, connectTimeoutMs: 2_000, statementTimeoutMs: 3_000 } as const;

// Whoever holds a change gives it up, and kills what runs (LONGEST_SILENCE_MS in adapters/operations/command.ts where this
// process is frozen), well before the database lets somebody else have it.
const HELD_MS = 20_000;
const GIVEN_UP_AFTER_MS = 12_000;
const RENEWED_EVERY_MS = 2_000;
const ASKED_EVERY_MS = 1_000;

const TAKE = `
  insert into change_hold (change_id, fence, held_until)
  values ($1, 1, clock_timestamp() + $2 * interval '1 millisecond')
  on conflict (change_id) do update set fence = change_hold.fence + 1, held_until = excluded.held_until
  where change_hold.held_until < clock_timestamp()
  returning fence`;

const RENEW = `
  update change_hold set held_until = clock_timestamp() + $3 * interval '1 millisecond'
  where change_id = $1 and fence = $2 and held_until > clock_timestamp() returning fence`;

const LET_GO = "update change_hold set held_until = '-infinity' where change_id = $1 and fence = $2";

const APPEND = `
  with held as (
    select from change_hold where change_id = $2 and fence = $3 and held_until > clock_timestamp() for share
  ) ${eventWhere('held')}`;

/** By a row with an end, in PostgreSQL's time: whoever dies is followed within twenty seconds. */
export class PostgresChangeHolds implements ChangeHolds {
  private readonly pool: Pool;
  private readonly personal: PersonalData;

  constructor(url: string, auditKeys: CodecKeys) {
    this.pool = openPool(url, POOL);
    this.personal = new PersonalData(new PostgresSubjectKeys(this.pool, auditKeys));
  }

  async holding<T>(id: string, signal: AbortSignal, work: (held: HeldChange) => Promise<T>): Promise<T> {
    for (;;) {
      if (signal.aborted) throw new AtbError('operation_interrupted', 'somebody else works on the change');
      const asked = performance.now();
      const [taken] = await rowsOf<{ fence: string }>(this.pool, 'hold-change', TAKE, [id, HELD_MS]);
      if (taken) return this.held(id, Number(taken.fence), asked, work);
      // Woken early it looks again, and sees that it is to stop.
      await sleep(ASKED_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  async end(): Promise<void> {
    await this.pool.end();
  }

  private async held<T>(
    id: string,
    fence: number,
    since: number,
    work: (held: HeldChange) => Promise<T>,
  ): Promise<T> {
    const lost = new AbortController();
    let renewedAt = since;
    const renewing = setInterval(() => {
      const asked = performance.now();
      if (asked - renewedAt > GIVEN_UP_AFTER_MS) lost.abort();
      if (lost.signal.aborted) return;
      rowsOf(this.pool, 'renew-change-hold', RENEW, [id, fence, HELD_MS]).then(
        ({ length }) => {
          if (length === 0) lost.abort();
          else renewedAt = Math.max(renewedAt, asked);
        },
        // Out of reach: the time that is left decides.
        () => undefined,
      );
    }, RENEWED_EVERY_MS);
    try {
      return await work({
        fence,
        lost: lost.signal,
        append: async (event: AuditEvent) => {
          const { leaf, personal } = await this.personal.kept(event);
          await rowsOf(this.pool, 'append-held-change', APPEND, [[leaf, personal], id, fence]);
        },
      });
    } finally {
      clearInterval(renewing);
      // What cannot be let go of ends by itself.
      await rowsOf(this.pool, 'let-go-of-change', LET_GO, [id, fence]).catch(() => undefined);
    }
  }
}
