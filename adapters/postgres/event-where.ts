/**
 * The event `$1` (its leaf, and what is personal), where the statement that it belongs to wrote something; the same id
 * again changes nothing.
 */
export const eventWhere = (written: string) => `
  insert into audit_event (leaf, personal) select ($1::text[])[1], ($1::text[])[2]
  where exists (select from ${written}) on conflict (id) do nothing`;
