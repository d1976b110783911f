import type { Pool } from 'pg';
import type { AuditEvent } from '../../domain/audit-event';
import type { OwedReversal, ReversalStore, UndecidedReversal } from '../../domain/owed-reversal';
import { recordedLeaf } from '../audit-log/leaf';
import { openPool } from './pool';
import { rowsOf } from './rows';

const POOL = { size: 2, connectTimeoutMs: 2_000, statementTimeoutMs: 3_000 } as const;

const withEvent = (change: string) => `
  with changed as (${change} returning 1), event as (
    insert into audit_event (leaf) select $2 where exists (select from changed) on conflict (id) do nothing
  )
  select exists (select from changed) as changed`;

const OWE = withEvent(`
  update reversal set due_at = now(), connector = $3 where reverses = $1 and due_at is null and ended_at is null`);

const END = withEvent('update reversal set ended_at = now() where jti = $1 and ended_at is null');

const TAKE = `
  update reversal set leased_until = now() + make_interval(secs => $1)
  where jti in (
    select jti from reversal
    where due_at is not null and ended_at is null and (leased_until is null or leased_until < now())
    order by due_at limit $2 for update skip locked)
  returning jti, reverses, connector, mandate, sent_at is not null as "isSent"`;

const SENDING =
  'update reversal set sent_at = now() where jti = $1 and sent_at is null and ended_at is null returning jti';

const NOT_SENT = 'update reversal set sent_at = null where jti = $1';

const PUT_BACK = 'update reversal set leased_until = now() + make_interval(secs => $2) where jti = $1';

/** How a call ended is known, unless it was not told, or told as unknown, or a report of it could not be written. */
const LAPSED = `
  select r.jti, r.reverses, r.request_id as "requestId", used.connector, used.subject as agent,
    used.jti is not null and not exists (
      select from audit_event e where e.id = 'redemption/' || used.claim_id || '/outcome'
        and audit_member(audit_member(e.leaf, 'data'), 'outcome') <> 'unknown'
        and coalesce(audit_member(audit_member(e.leaf, 'data'), 'code'), '') <> 'audit_unavailable') as undecided
  from reversal r left join redemption used
    on used.jti = r.reverses and (used.given_back_at is null or used.uses > 1)
  where r.ended_at is null and r.due_at is null and r.expires_at < $1
  order by r.expires_at limit $2`;

const LET_GO = 'update reversal set ended_at = now() where jti = any($1::text[]) and due_at is null';

const AT_ONCE = 64;

/** The reversals that brokers owe, in PostgreSQL. */
export class PostgresReversals implements ReversalStore {
  private readonly pool: Pool;

  constructor(url: string) {
    this.pool = openPool(url, POOL);
  }

  owe(reverses: string, connector: string, event: AuditEvent): Promise<boolean> {
    return this.changed('owe-reversal', OWE, [reverses, recordedLeaf(event), connector]);
  }

  take(leaseSeconds: number): Promise<readonly OwedReversal[]> {
    return rowsOf<OwedReversal>(this.pool, 'take-reversals', TAKE, [leaseSeconds, AT_ONCE]);
  }

  async sending(jti: string): Promise<boolean> {
    return (await rowsOf(this.pool, 'sending-reversal', SENDING, [jti])).length === 1;
  }

  async notSent(jti: string): Promise<void> {
    await rowsOf(this.pool, 'reversal-not-sent', NOT_SENT, [jti]);
  }

  async putBack(jti: string, afterSeconds: number): Promise<void> {
    await rowsOf(this.pool, 'put-back-reversal', PUT_BACK, [jti, afterSeconds]);
  }

  end(jti: string, event: AuditEvent): Promise<boolean> {
    return this.changed('end-reversal', END, [jti, recordedLeaf(event)]);
  }

  async undecided(before: Date): Promise<readonly UndecidedReversal[]> {
    const rows = await rowsOf<UndecidedReversal & { readonly undecided: boolean }>(
      this.pool,
      'lapsed-reversals',
      LAPSED,
      [before, AT_ONCE],
    );
    const settled = rows.filter(({ undecided }) => !undecided).map(({ jti }) => jti);
    if (settled.length > 0) await rowsOf(this.pool, 'let-go-reversals', LET_GO, [settled]);
    return rows.filter(({ undecided }) => undecided);
  }

  async close(): Promise<void> {
    await this.pool.end();
  }

  private async changed(name: string, text: string, values: readonly unknown[]): Promise<boolean> {
    const [row] = await rowsOf<{ changed: boolean }>(this.pool, name, text, values);
    return row?.changed === true;
  }
}
