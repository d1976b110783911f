import type { Migration } from './migration';

/**
 * Proofs are forgotten when nothing that they prove is taken any more: evidence may be shown a day after it was presented
 * (activities/identity.ts), so two days after a proof ran out it proves nothing. The services cannot remove one by
 * themselves: the function's owner does, and the database's clock says when.
 */
export const usedProofPurge: Migration = {
  version: 51,
  sql: `
  create function purge_used_proof(most integer) returns integer
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    with gone as (
      delete from public.used_proof where key in (
        select key from public.used_proof where expires_at < now() - interval '2 days'
        order by expires_at limit most for update skip locked
      ) returning 1
    ) select count(*)::integer from gone
  $$;
  revoke execute on function purge_used_proof(integer) from public;
  `,
};
