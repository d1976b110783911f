import type { Migration } from './migration';

/** Finds the few broken glasses among all events: which of them nobody has reviewed is asked again and again. */
export const breakGlass: Migration = {
  version: 70,
  sql: `
  create index audit_event_break_glass on audit_event (seq) where type = 'poa_break_glass';
  `,
};
