import type { Migration } from './migration';

/** `sent_at`: from then on the reversing call may have reached the system; null again where it is known that it did not. */
export const reversalSent: Migration = {
  version: 138,
  sql: `
  alter table reversal add column sent_at timestamptz;
  `,
};
