import type { Pool } from 'pg';
import type { AuditEvent } from '../../domain/audit-event';
import { AtbError } from '../../domain/error';
import type { Claim, RedemptionStore, UsedProof } from '../../domain/redemption';
import { Batch } from './batch';
import { recordedLeaf } from '../audit-log/leaf';
import { openPool } from './pool';
import { statement } from '../tracing/database';

const POOL = { size: 6, connectTimeoutMs: 2_000, statementTimeoutMs: 3_000 } as const;
const BATCH = { items: 128, atOnce: 2 } as const;

/**
 * In one statement: what was revoked or stopped is not marked; the mark is insert-once on (issuer, jti), taken again
 * only after it was given back the one time, or by a repeat of the same claim; each mark has its event. Ordered, so
 * that the batches of two brokers do not wait for each other in a circle. Events that mark nothing come along.
 */
const CLAIM = `
  with item as (
    select * from json_to_recordset($1::json) as item (
      claim_id text, issuer text, jti text, request_id text, subject text, connector text, tier text, at timestamptz, leaf text)
  ), stopped as (
    select claim_id from item where exists (select from revocation where revocation.jti = item.jti)
      or exists (select from stop where lifted_at is null and (
        scope = 'everything'
        or (scope = 'agent' and value = item.subject)
        or (scope = 'connector' and value = item.connector)
        or (scope = 'tier' and value = item.tier)
        or (scope = 'request' and value = item.request_id)))
  ), claimed as (
    insert into redemption as held (issuer, jti, claim_id, request_id, subject, connector, claimed_at, uses)
    select issuer, jti, claim_id, request_id, subject, connector, at, 1 from item
    where claim_id not in (select claim_id from stopped)
    order by issuer, jti
    on conflict (issuer, jti) do update
      set claim_id = excluded.claim_id, claimed_at = excluded.claimed_at,
        uses = case when held.claim_id = excluded.claim_id then held.uses else held.uses + 1 end
      where held.claim_id = excluded.claim_id or (held.given_back_at is not null and held.uses = 1)
    returning claim_id
  ), event as (
    insert into audit_event (leaf)
    select leaf from item where claim_id in (select claim_id from claimed)
    union all select leaf from unnest($2::text[]) as plain (leaf)
    on conflict (id) do nothing
  )
  select claim_id, claim_id in (select claim_id from claimed) as claimed,
    claim_id in (select claim_id from stopped) as stopped
  from item`;

const GIVE_BACK = `
  with given_back as (
    update redemption set given_back_at = $2::timestamptz
    where claim_id = $1 and uses = 1 and given_back_at is null returning 1
  ), event as (
    insert into audit_event (leaf) select $3 where exists (select from given_back)
    on conflict (id) do nothing
  )
  select exists (select from given_back) as given_back`;

const USE_PROOF = `
  insert into used_proof (key, request_id, expires_at) values ($1, $2, $3)
  on conflict (key) do nothing returning key`;

type Marked = 'claimed' | 'used' | 'stopped';

/** A mark with its event, or an event alone, of which the answer says nothing. */
interface Entry {
  readonly claim: Claim | null;
  readonly leaf: string;
}

/** The marks of used mandates in PostgreSQL. Many at once share a statement, each is durable before it is told. */
export class PostgresRedemptions implements RedemptionStore {
  private readonly pool: Pool;
  private readonly batch: Batch<Entry, Marked>;

  constructor(url: string) {
    this.pool = openPool(url, POOL);
    this.batch = new Batch((entries) => this.write(entries), BATCH);
  }

  async claim(claim: Claim, event: AuditEvent): Promise<Marked> {
    const entry = { claim, leaf: recordedLeaf(event) };
    try {
      return await statement('claim', () => this.batch.add(entry));
    } catch {
      // Perhaps it was marked and only the answer was lost: a repeat of the same claim finds its own mark.
      return statement('claim again', () => this.batch.add(entry));
    }
  }

  async giveBack(claim: Claim, event: AuditEvent): Promise<boolean> {
    const values = [claim.claimId, event.time, recordedLeaf(event)];
    const [row] = await this.query<{ given_back: boolean }>('give-back', GIVE_BACK, values);
    return row?.given_back === true;
  }

  async append(event: AuditEvent): Promise<void> {
    const entry = { claim: null, leaf: recordedLeaf(event) };
    await statement('append', () => this.batch.add(entry));
  }

  async appendBeside(event: AuditEvent): Promise<void> {
    const entry = { claim: null, leaf: recordedLeaf(event) };
    await statement('append', () => this.batch.addPatiently(entry));
  }

  async useProof({ key, requestId, expiresAt }: UsedProof): Promise<boolean> {
    const used = await this.query('use-proof', USE_PROOF, [key, requestId, expiresAt]);
    return used.length === 1;
  }

  /** Answers when the store does. Throws `audit_unavailable`. */
  async ping(): Promise<void> {
    await this.query('ping', 'select 1', []);
  }

  /** After everything that waits was written, or failed. */
  async end(): Promise<void> {
    await this.batch.drained();
    await this.pool.end();
  }

  private async write(entries: readonly Entry[]): Promise<readonly Marked[]> {
    // One mandate twice in one batch: the first is decided by the database, the others come after it in any case.
    const firsts = new Map<string, Entry & { readonly claim: Claim }>();
    for (const { claim, leaf } of entries) {
      if (claim === null) continue;
      const key = JSON.stringify([claim.issuer, claim.jti]);
      if (!firsts.has(key)) firsts.set(key, { claim, leaf });
    }
    const asked = [...firsts.values()].map(({ claim, leaf }) => ({
      claim_id: claim.claimId,
      issuer: claim.issuer,
      jti: claim.jti,
      request_id: claim.requestId,
      subject: claim.agent,
      connector: claim.connector,
      tier: claim.tier,
      at: claim.at,
      leaf,
    }));
    const rows = await this.query<{ claim_id: string; claimed: boolean; stopped: boolean }>('claim', CLAIM, [
      JSON.stringify(asked),
      entries.flatMap(({ claim, leaf }) => (claim === null ? [leaf] : [])),
    ]);
    const marks = new Map(rows.map((row) => [row.claim_id, row]));
    return entries.map(({ claim }) => {
      const mark = claim === null ? undefined : marks.get(claim.claimId);
      if (mark?.stopped === true) return 'stopped';
      return mark?.claimed === true ? 'claimed' : 'used';
    });
  }

  private async query<Row extends object>(
    name: string,
    text: string,
    values: readonly unknown[],
  ): Promise<Row[]> {
    try {
      const query = () => this.pool.query<Row>({ name, text, values: [...values] });
      return (await statement(name, query)).rows;
    } catch (cause) {
      throw new AtbError('audit_unavailable', 'the store of used mandates cannot be reached', { cause });
    }
  }
}
