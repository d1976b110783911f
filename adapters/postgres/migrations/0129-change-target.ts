import type { Migration } from './migration';

/** Who stands in line to change what: the change with the lowest place that has not ended does it. */
export const changeTarget: Migration = {
  version: 129,
  sql: `
  create table change_target (
    target text not null,
    change_id text not null references proposal,
    place bigint not null,
    primary key (target, change_id)
  );
  `,
};
