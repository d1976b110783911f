import type { Migration } from './migration';

/**
 * Each event is one leaf: the text that the log proves, from which everything else of its row follows, so that a row
 * cannot tell something else than the log. Committed leaves wait in a queue until they are given their places, which
 * leave no gap: an identity does, wherever a transaction is undone.
 */
export const auditLeaf: Migration = {
  version: 10,
  sql: `
  -- RFC 8785, as far as events need it: texts and numbers stand as JSON.stringify wrote them, names are ASCII.
  create function pg_temp.canonical(value json) returns text language plpgsql as $$
  begin
    return case json_typeof(value)
      when 'object' then (select '{' || coalesce(string_agg(to_json(key)::text || ':' || pg_temp.canonical(member.value), ','
        order by key collate "C"), '') || '}' from json_each(value) as member)
      when 'array' then (select '[' || coalesce(string_agg(pg_temp.canonical(item), ',' order by place), '') || ']'
        from json_array_elements(value) with ordinality as element (item, place))
      else value::text
    end;
  end $$;

  create temporary table earlier on commit drop as
  select seq, pg_temp.canonical(json_build_object(
    'v', 1, 'id', id, 'type', type,
    'time', to_char(time at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'request_id', request_id, 'actor', actor, 'subject', subject, 'action', action, 'tier', tier,
    'outcome', case
      when type in ('poa_denied', 'poa_verdict_refused', 'poa_signal_rejected', 'poa_velocity_exceeded', 'poa_rejected',
        'person_registration_refused', 'policy_refused', 'poa_redemption_refused', 'poa_single_use_replay_blocked',
        'guardrail_blocked') then 'refused'
      when type in ('poa_expired', 'poa_cancelled', 'poa_given_back') then 'failure'
      else 'success' end,
    'reasons', to_json(reasons), 'trace_id', null, 'commitments', '{}'::json, 'data', data)) as leaf
  from audit_event;
  drop table audit_event;

  -- A member of a leaf. PostgreSQL's texts cannot hold U+0000, which stands in a leaf as its escape.
  create function audit_member(leaf text, name text) returns text language sql immutable as
  $$ select replace(leaf, '\\u0000', '\\ufffd')::json ->> name $$;

  create table audit_event (
    seq bigint primary key generated always as identity,
    leaf text not null check (octet_length(leaf) <= 65535),
    id text not null unique generated always as (audit_member(leaf, 'id')) stored,
    type text not null generated always as (audit_member(leaf, 'type')) stored,
    request_id text generated always as (audit_member(leaf, 'request_id')) stored
  );
  create index audit_event_request on audit_event (request_id);

  -- The place of each event in the log, from 0 on.
  create table audit_leaf (
    leaf_index bigint primary key check (leaf_index >= 0),
    seq bigint not null unique references audit_event,
    appended_at timestamptz not null default clock_timestamp()
  );
  -- Short: whoever reads the log empties it. An index would only make every write dearer.
  create table audit_queue (seq bigint not null);

  create function audit_enqueue() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
  begin
    insert into audit_queue select seq from added;
    return null;
  end $$;
  create trigger audit_event_enqueue after insert on audit_event referencing new table as added
    for each statement execute function audit_enqueue();

  insert into audit_event (leaf) select leaf from earlier order by seq;

  -- Gives committed events their places, in the order of seq as far as they are known by now, and answers to how many.
  -- Under a lock: each sees where the one before ended.
  create function audit_sequence(most integer) returns integer language plpgsql security definer
    set search_path = public, pg_temp as $$
  declare
    size bigint;
    placed integer;
  begin
    perform pg_advisory_xact_lock(731410227);
    select coalesce(max(leaf_index) + 1, 0) into size from audit_leaf;
    with next as (
      delete from audit_queue where ctid = any (array(select ctid from audit_queue order by seq limit most)) returning seq
    )
    insert into audit_leaf (leaf_index, seq) select size + row_number() over (order by seq) - 1, seq from next;
    get diagnostics placed = row_count;
    return placed;
  end $$;

  create or replace function audit_is_append_only() returns trigger language plpgsql as $$
  begin
    raise exception '% is append-only', tg_table_name;
  end $$;
  create trigger audit_event_append_only before update or delete on audit_event
    for each row execute function audit_is_append_only();
  create trigger audit_event_no_truncate before truncate on audit_event
    for each statement execute function audit_is_append_only();
  create trigger audit_leaf_append_only before update or delete on audit_leaf
    for each row execute function audit_is_append_only();
  create trigger audit_leaf_no_truncate before truncate on audit_leaf
    for each statement execute function audit_is_append_only();
  `,
};
