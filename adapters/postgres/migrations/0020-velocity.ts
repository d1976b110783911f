import type { Migration } from './migration';

/** Counts mandates for the velocity limits: one row for each counter, which the next window takes over. */
export const velocity: Migration = {
  version: 20,
  sql: `
  create table velocity (
    key text not null,
    window_seconds integer not null,
    window_start timestamptz not null,
    taken integer not null,
    primary key (key, window_seconds)
  ) with (fillfactor = 50);

  create function velocity_window(at timestamptz, seconds integer) returns timestamptz language sql immutable as
  $$ select to_timestamp(floor(extract(epoch from at) / seconds) * seconds) $$;

  -- Takes one from every limit, or from none: then it answers the limit that is reached, the one that opens last.
  -- limits: [{"key", "window_seconds", "most", "rule"}]. A request that has its mandate, or is closed, takes nothing:
  -- whoever comes again must not count twice, and the lock makes those wait who come at the same time. Counters are
  -- locked in one order, so that two of these cannot wait for each other.
  create function take_velocity(request text, at timestamptz, limits json) returns json language plpgsql as $$
  declare
    exceeded json;
  begin
    perform from poa_request where request_id = request and closed_at is null and jti is null for update;
    if not found then return null; end if;

    insert into velocity as held (key, window_seconds, window_start, taken)
    select key, window_seconds, velocity_window(at, window_seconds), 1
    from json_to_recordset(limits) as asked(key text, window_seconds integer)
    order by key, window_seconds
    on conflict (key, window_seconds) do update set
      taken = case when excluded.window_start > held.window_start then 1 else held.taken + 1 end,
      -- A worker whose clock is behind counts in the window that others are in.
      window_start = greatest(excluded.window_start, held.window_start);

    select json_build_object('rule', rule, 'key', key, 'most', most, 'windowSeconds', window_seconds,
      'taken', taken - 1, 'resetsAt', extract(epoch from window_start) + window_seconds) into exceeded
    from json_to_recordset(limits) as asked(key text, window_seconds integer, most integer, rule text)
    join velocity using (key, window_seconds)
    where taken > most order by extract(epoch from window_start) + window_seconds desc, key limit 1;

    if exceeded is not null then
      update velocity set taken = taken - 1
      from json_to_recordset(limits) as asked(key text, window_seconds integer)
      where velocity.key = asked.key and velocity.window_seconds = asked.window_seconds;
    end if;
    return exceeded;
  end $$;
  `,
};
