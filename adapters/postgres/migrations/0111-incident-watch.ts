import type { Migration } from './migration';

/**
 * How far the log was read for what opens incidents, and what was seen lately; from now on, so that an old log opens
 * none.
 */
export const incidentWatch: Migration = {
  version: 111,
  sql: `
  create table incident_watch (
    one boolean primary key default true check (one),
    next_index bigint not null,
    windows json not null
  );
  insert into incident_watch (next_index, windows) select coalesce(max(leaf_index) + 1, 0), '{}' from audit_leaf;
  `,
};
