import type { Migration } from './migration';

/** What was told keeps nothing about people: it stays only so that nobody is told twice. */
export const toldNotification: Migration = {
  version: 96,
  sql: `
  create function without_personal(document json) returns json language sql immutable as $$
    select jsonb_set(document::jsonb - 'deputies', '{facts}',
      coalesce(document::jsonb -> 'facts', '{}') - 'justification')::json
  $$;
  update notification set document = without_personal(document) where told_at is not null;
  `,
};
