import type { Migration } from './migration';

/**
 * How far the log was read for uses whose outcome a broker is to record, and those of them that have none yet; from now
 * on, because nothing before says by when.
 */
export const outcomeWatch: Migration = {
  version: 140,
  sql: `
  create table outcome_watch (
    one boolean primary key default true check (one),
    next_index bigint not null,
    awaited json not null
  );
  insert into outcome_watch (next_index, awaited) select coalesce(max(leaf_index) + 1, 0), '[]' from audit_leaf;
  `,
};
