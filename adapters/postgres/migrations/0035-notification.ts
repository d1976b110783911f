import type { Migration } from './migration';

/** Notifications on their way: one row for each channel that has to tell one, kept until it did. */
export const notification: Migration = {
  version: 35,
  sql: `
  create table notification (
    id text not null,
    channel text not null,
    document json not null,
    created_at timestamptz not null default now(),
    attempts integer not null default 0,
    next_attempt_at timestamptz not null default now(),
    told_at timestamptz,
    dead_at timestamptz,
    last_error text,
    primary key (id, channel),
    check (told_at is null or dead_at is null)
  );
  create index notification_due on notification (next_attempt_at) where told_at is null and dead_at is null;
  create index notification_dead on notification (dead_at) where dead_at is not null;
  `,
};
