import type { Migration } from './migration';

/** What people sign off, their words on it, and which connectors are in force. */
export const proposal: Migration = {
  version: 80,
  sql: `
  create table proposal (
    id text primary key,
    kind text not null,
    name text not null,
    content text not null,
    author text not null,
    statement text not null,
    proposed_at timestamptz not null,
    outcome text check (outcome in ('approved', 'denied', 'rejected', 'expired', 'cancelled')),
    decided_at timestamptz
  );

  create table sign_off (
    jti text primary key,
    proposal_id text not null references proposal,
    statement text not null,
    by text not null,
    received_at timestamptz not null
  );
  create index sign_off_of on sign_off (proposal_id);

  create table active_connector (
    name text primary key,
    digest text not null,
    proposal_id text not null references proposal,
    valid_until timestamptz,
    retired_at timestamptz
  );
  `,
};
