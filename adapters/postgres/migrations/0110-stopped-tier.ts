import type { Migration } from './migration';

/** A tier can be stopped too: nothing of it is issued, and nothing of it is redeemed. */
export const stoppedTier: Migration = {
  version: 110,
  sql: `
  alter table stop drop constraint stop_scope_check;
  alter table stop add constraint stop_scope_check
    check (scope in ('request', 'agent', 'connector', 'tier', 'everything'));
  `,
};
