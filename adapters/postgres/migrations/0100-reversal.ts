import type { Migration } from './migration';

/**
 * Reversal mandates, each beside the mandate that it reverses. `due_at`: the system reported a failure after it had
 * committed; `leased_until`: a broker is at it; `ended_at`: there is nothing left to do.
 */
export const reversal: Migration = {
  version: 100,
  sql: `
  create table reversal (
    jti text primary key,
    reverses text not null unique,
    request_id text not null,
    mandate text not null,
    expires_at timestamptz not null,
    connector text,
    due_at timestamptz,
    leased_until timestamptz,
    ended_at timestamptz
  );
  create index reversal_open on reversal (expires_at) where ended_at is null;
  `,
};
