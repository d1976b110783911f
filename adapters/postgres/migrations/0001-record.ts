import type { Migration } from './migration';

/** Requests, verdicts, mandates, revocations, and the audit events beside them. */
export const record: Migration = {
  version: 1,
  sql: `
  create table audit_event (
    seq bigint primary key generated always as identity,
    id text not null unique,
    type text not null,
    time timestamptz not null,
    request_id text,
    actor text,
    subject text,
    action text,
    tier text,
    reasons text[] not null,
    data json not null
  );
  create index audit_event_request on audit_event (request_id);

  create function audit_is_append_only() returns trigger language plpgsql as $$
  begin
    raise exception 'audit_event is append-only';
  end $$;
  create trigger audit_event_append_only before update or delete on audit_event
    for each row execute function audit_is_append_only();
  create trigger audit_event_no_truncate before truncate on audit_event
    for each statement execute function audit_is_append_only();

  -- A request is closed, or has its one mandate, never both: both are columns of one row. The claims are text, not
  -- jsonb, because they are signed again to the same bytes.
  create table poa_request (
    request_id text primary key,
    subject text not null,
    asked_digest text not null,
    pending_until timestamptz,
    closed_at timestamptz,
    jti text unique,
    claims text,
    check (closed_at is null or jti is null)
  );
  create index poa_request_pending on poa_request (pending_until)
    where pending_until is not null and closed_at is null and jti is null;

  create table verdict (
    jti text primary key,
    request_id text not null references poa_request,
    statement_digest text not null,
    by text not null,
    received_at timestamptz not null
  );
  create index verdict_request on verdict (request_id);

  create table revocation (
    jti text primary key,
    revoked_at timestamptz not null
  );
  `,
};
