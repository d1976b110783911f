import type { Migration } from './migration';

/** One proposal orders several probes, each once. */
export const probeTurn: Migration = {
  version: 90,
  sql: `
  alter table poa_request add column probe_turn integer not null default 0;
  alter table poa_request drop constraint poa_request_probe_key;
  alter table poa_request add constraint probe_begins_once unique (probe, probe_turn);
  `,
};
