import type { Migration } from './migration';

/** Decoys among the requests, which never hold a mandate, and people whose verdicts do not count for a while. */
export const probe: Migration = {
  version: 75,
  sql: `
  -- The proposal by which Security had it look like a request. What the signing step needs is never written beside it.
  alter table poa_request add column probe text unique;
  alter table poa_request add constraint probe_has_no_mandate check (probe is null or jti is null);

  create table suspension (
    person text not null,
    request_id text not null references poa_request,
    suspended_at timestamptz not null,
    lifted_at timestamptz,
    primary key (person, request_id)
  );
  create index suspension_standing on suspension (person) where lifted_at is null;
  `,
};
