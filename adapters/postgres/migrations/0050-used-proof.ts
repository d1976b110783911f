import type { Migration } from './migration';

/** Signed requests and tokens that were used: each counts for one request, whichever process sees it. */
export const usedProof: Migration = {
  version: 50,
  sql: `
  create table used_proof (
    key text primary key,
    request_id text not null,
    expires_at timestamptz not null
  );
  create index used_proof_expiry on used_proof (expires_at);
  `,
};
