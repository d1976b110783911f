import type { Migration } from './migration';

/** Which policies were loaded is looked for every few seconds, also in a long log. */
export const policyLoaded: Migration = {
  version: 131,
  sql: `
  create index audit_event_policy_loaded on audit_event (seq) where type = 'policy_loaded';
  `,
};
