import type { Pool } from 'pg';
import type { QueryResultRow } from 'pg';
import { AtbError } from '../../domain/error';
import type { Notification } from '../../domain/ports';
import { statement } from '../tracing/database';
import { traceHeaders } from '../tracing/span';
import { openPool } from './pool';

/** A notification that one channel has to tell. */
export interface Errand {
  readonly id: string;
  readonly channel: string;
  readonly notification: Notification;
  readonly createdAt: Date;
  /** How often it was tried already. */
  readonly attempts: number;
  /** The `traceparent` of what led to it. */
  readonly traceparent: string | null;
}

/** An errand as an operator sees it. */
export interface ErrandStanding extends Errand {
  readonly state: 'waiting' | 'told' | 'dead';
  readonly nextAttemptAt: Date;
  readonly lastError: string | null;
}

export interface ErrandFilter {
  readonly state?: ErrandStanding['state'];
  readonly limit: number;
}

const POOL = { size: 3, connectTimeoutMs: 5_000, statementTimeoutMs: 5_000 } as const;
const BATCH = 20;
// A process that dies with an errand in hand: another one takes it over after this long.
const LEASE_SECONDS = 60;

const COLUMNS =
  'id, channel, document, created_at, attempts, next_attempt_at, told_at, dead_at, last_error, traceparent';

const CLAIM = `
  update notification set next_attempt_at = now() + make_interval(secs => ${LEASE_SECONDS})
  where (id, channel) in (
    select id, channel from notification
    where told_at is null and dead_at is null and next_attempt_at <= now() and not channel = any($1::text[])
    order by next_attempt_at limit ${BATCH} for update skip locked
  ) returning ${COLUMNS}`;

/**
 * The durable outbox of notifications in PostgreSQL. Insert-once under the notification's id: a repeated step tells
 * nobody twice. Several workers share it. Throws `audit_unavailable`, as the ledger of the same database does.
 */
export class NotificationOutbox {
  private readonly pool: Pool;

  constructor(url: string) {
    this.pool = openPool(url, POOL);
  }

  /** Takes a notification over for all its channels, or for none. */
  async put(notification: Notification, channels: readonly string[]): Promise<void> {
    const { traceparent = null } = traceHeaders();
    await statement('put-notification', () =>
      this.query(
        `insert into notification (id, channel, document, traceparent)
         select $1, channel, $2, $4 from unnest($3::text[]) as channel on conflict (id, channel) do nothing`,
        [notification.id, JSON.stringify(notification, storable), channels, traceparent],
      ),
    );
  }

  /** Errands that are due, to other channels than these; for this process alone for a while. */
  async claim(busyChannels: readonly string[]): Promise<readonly Errand[]> {
    return (await this.query<Row>(CLAIM, [busyChannels])).map(standingOf);
  }

  async told({ id, channel }: Errand): Promise<void> {
    await this.query(
      `update notification set told_at = now(), attempts = attempts + 1, last_error = null,
         document = without_personal(document) where id = $1 and channel = $2`,
      [id, channel],
    );
  }

  /** It did not work: tried again after the pause, or never where there is none. */
  async failed({ id, channel }: Errand, error: string, pauseSeconds: number | undefined): Promise<void> {
    await this.query(
      `update notification set attempts = attempts + 1, last_error = $3,
         next_attempt_at = now() + make_interval(secs => coalesce($4::float8, 0)),
         dead_at = case when $4::float8 is null then now() end
       where id = $1 and channel = $2 and told_at is null`,
      [id, channel, error, pauseSeconds ?? null],
    );
  }

  /** Errands for an operator, newest first. */
  async list({ state, limit }: ErrandFilter): Promise<readonly ErrandStanding[]> {
    const rows = await this.query<Row>(
      `select ${COLUMNS} from notification
       where $1::text is null or $1 = case when told_at is not null then 'told' when dead_at is not null then 'dead' else 'waiting' end
       order by created_at desc, id, channel limit $2`,
      [state ?? null, limit],
    );
    return rows.map(standingOf);
  }

  /** Gives dead letters another life: all of them, or those of one notification. Answers how many. */
  async retry(id: string | undefined): Promise<number> {
    const rows = await this.query(
      `update notification set dead_at = null, attempts = 0, next_attempt_at = now()
       where dead_at is not null and ($1::text is null or id = $1) returning id`,
      [id ?? null],
    );
    return rows.length;
  }

  async end(): Promise<void> {
    await this.pool.end();
  }

  private async query<R extends QueryResultRow>(text: string, values: readonly unknown[]): Promise<R[]> {
    try {
      return (await this.pool.query<R>(text, [...values])).rows;
    } catch (cause) {
      throw new AtbError('audit_unavailable', 'the notifications cannot be reached', { cause });
    }
  }
}

interface Row {
  readonly id: string;
  readonly channel: string;
  readonly document: Notification;
  readonly created_at: Date;
  readonly attempts: number;
  readonly next_attempt_at: Date;
  readonly told_at: Date | null;
  readonly dead_at: Date | null;
  readonly last_error: string | null;
  readonly traceparent: string | null;
}

/** A NUL, which JSON can say, is in no text of PostgreSQL: what has one could never be changed again. */
function storable(_: string, value: unknown): unknown {
  return typeof value === 'string' ? value.replaceAll('\0', '\ufffd') : value;
}

function standingOf(row: Row): ErrandStanding {
  return {
    id: row.id,
    channel: row.channel,
    notification: row.document,
    createdAt: row.created_at,
    attempts: row.attempts,
    traceparent: row.traceparent,
    state: row.told_at ? 'told' : row.dead_at ? 'dead' : 'waiting',
    nextAttemptAt: row.next_attempt_at,
    lastError: row.last_error,
  };
}
