import type { Pool } from 'pg';
import type { ChangeTargets } from '../../domain/ports';
import { openPool } from './pool';
import { rowsOf } from './rows';
import { underLock } from './transaction';

const POOL = { size: 2, connectTimeoutMs: 2_000, statementTimeoutMs: 3_000 } as const;

// Any number that is ours: places are given out one after the other, or two would each believe to be the first.
const LINE_LOCK = 731_410_231;

const STAND = `
  insert into change_target (target, change_id, place)
  select target, $1, (select coalesce(max(place), 0) + 1 from change_target) from unnest($2::text[]) target
  on conflict do nothing`;

const AHEAD = `
  select other.change_id from change_target mine
  join change_target other on other.target = mine.target and other.place < mine.place
  left join audit_event ended on ended.id = other.change_id || '/change/ended'
  where mine.change_id = $1 and ended.id is null order by other.place limit 1`;

const TAKEN = `
  select taken.change_id from change_target taken
  left join audit_event ended on ended.id = taken.change_id || '/change/ended'
  where taken.target = any($1) and taken.change_id <> $2 and ended.id is null order by taken.place limit 1`;

interface Other {
  readonly change_id: string;
}

/** What is changed by which change, one at a time: the others stand in line until it has ended. */
export class PostgresChangeTargets implements ChangeTargets {
  private readonly pool: Pool;

  constructor(url: string) {
    this.pool = openPool(url, POOL);
  }

  async take(id: string, targets: readonly string[]): Promise<string | null> {
    await underLock(this.pool, LINE_LOCK, 'stand-in-line', STAND, [id, targets]);
    const [ahead] = await rowsOf<Other>(this.pool, 'change-ahead', AHEAD, [id]);
    return ahead?.change_id ?? null;
  }

  async takenBy(targets: readonly string[], other: string): Promise<string | null> {
    const [taken] = await rowsOf<Other>(this.pool, 'change-target-taken', TAKEN, [targets, other]);
    return taken?.change_id ?? null;
  }

  async end(): Promise<void> {
    await this.pool.end();
  }
}
