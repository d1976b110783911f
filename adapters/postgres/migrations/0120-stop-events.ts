import type { Migration } from './migration';

/** Finds by which incidents something was stopped, and who lifted that. Times sort as text (RFC 3339, UTC). */
export const stopEvents: Migration = {
  version: 120,
  sql: `
  create index audit_event_stop on audit_event (type, audit_member(leaf, 'time'))
    where type in ('poa_stopped', 'poa_stop_lifted');
  `,
};
