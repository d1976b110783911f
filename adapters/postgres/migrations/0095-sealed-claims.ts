import type { Migration } from './migration';

/**
 * The claims of a mandate are sealed with the keys of the people whom they are about. Those of before, in clear, are of
 * mandates that lapsed within five minutes: nobody needs them any more, and what they were is in the log.
 */
export const sealedClaims: Migration = {
  version: 95,
  sql: `
  update poa_request set claims = null where claims is not null;
  `,
};
