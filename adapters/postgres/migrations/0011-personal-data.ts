import type { Migration } from './migration';

/**
 * What is personal in an event stands beside its leaf, sealed with a key of the person that it is about. Without that
 * key nobody can read it any more, and the leaf, which holds commitments, is what it was.
 */
export const personalData: Migration = {
  version: 11,
  sql: `
  -- [{"name", "key_id", "sealed"}]: see adapters/audit-log/personal-data.ts.
  alter table audit_event add column personal text check (octet_length(personal) <= 131072);

  -- The keys of the people, each wrapped in a key that this database does not have. A row names its person only to who
  -- has that: the handle is a keyed digest.
  create table audit_subject (
    key_id text primary key,
    handle text not null,
    wrapped text,
    created_at timestamptz not null default now(),
    erased_at timestamptz,
    check ((wrapped is null) = (erased_at is not null))
  );
  create unique index audit_subject_current on audit_subject (handle) where erased_at is null;
  `,
};
