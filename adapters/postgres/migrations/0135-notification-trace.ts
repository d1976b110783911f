import type { Migration } from './migration';

/** The trace that a notification is told in: the one of the call that led to it (W3C Trace Context). */
export const notificationTrace: Migration = {
  version: 135,
  sql: `
  alter table notification add column traceparent text;
  `,
};
