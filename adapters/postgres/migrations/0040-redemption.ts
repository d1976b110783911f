import type { Migration } from './migration';

/** Which mandates were used, what is stopped, and a bell that tells every broker when either kind of order changes. */
export const redemption: Migration = {
  version: 40,
  sql: `
  create table redemption (
    issuer text not null,
    jti text not null,
    claim_id text not null unique,
    request_id text not null,
    subject text not null,
    connector text not null,
    claimed_at timestamptz not null,
    uses integer not null,
    given_back_at timestamptz,
    primary key (issuer, jti)
  );

  create table stop (
    scope text not null check (scope in ('request', 'agent', 'connector', 'everything')),
    value text not null,
    stopped_at timestamptz not null,
    lifted_at timestamptz,
    primary key (scope, value)
  );
  create index stop_in_force on stop (scope, value) where lifted_at is null;

  create table stop_lift (
    scope text not null,
    value text not null,
    by text not null,
    proposed_at timestamptz not null,
    primary key (scope, value, by),
    foreign key (scope, value) references stop
  );

  create index revocation_recent on revocation (revoked_at);

  create function ring_revocation() returns trigger language plpgsql as $$
  begin
    perform pg_notify('atb_revocation', '');
    return null;
  end $$;
  create trigger revocation_rings after insert on revocation
    for each statement execute function ring_revocation();
  create trigger stop_rings after insert or update on stop
    for each statement execute function ring_revocation();
  `,
};
