import type { Migration } from './migration';

/** Which incidents are open is looked for every few seconds, also in a long log. */
export const incidentOpened: Migration = {
  version: 139,
  sql: `
  create index audit_event_incident_opened on audit_event (seq) where type = 'incident_opened';
  `,
};
