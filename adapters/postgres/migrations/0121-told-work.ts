import type { Migration } from './migration';

/** Finds the incidents and what people signed off of a period, for the digest. Times sort as text (RFC 3339, UTC). */
export const toldWork: Migration = {
  version: 121,
  sql: `
  create index audit_event_told_work on audit_event (audit_member(leaf, 'time'))
    where type in ('incident_opened', 'incident_closed', 'proposal_approved', 'proposal_ended', 'proposal_lapsed', 'change_ended');
  `,
};
