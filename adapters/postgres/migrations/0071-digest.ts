import type { Migration } from './migration';

/** Finds the mandates of a period, but for those of the low tier, which are many. Times sort as text (RFC 3339, UTC). */
export const digest: Migration = {
  version: 71,
  sql: `
  create index audit_event_issued on audit_event (audit_member(leaf, 'time'))
    where type in ('poa_issued', 'poa_issued_dual_control') and audit_member(leaf, 'tier') <> 'low';
  `,
};
