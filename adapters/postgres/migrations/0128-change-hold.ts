import type { Migration } from './migration';

/** Which process works on a change now. */
export const changeHold: Migration = {
  version: 128,
  sql: `
  create table change_hold (
    change_id text primary key references proposal,
    fence bigint not null,
    held_until timestamptz not null
  );
  `,
};
