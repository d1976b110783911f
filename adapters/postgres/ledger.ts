import type { Pool } from 'pg';
import type { AuditEvent, StoredAuditEvent } from '../../domain/audit-event';
import type { Leaf } from '../../domain/audit-leaf';
import { WORK_EVENT_TYPES } from '../../domain/digest-plan';
import type { IssuedCount, WorkCount } from '../../domain/digest-plan';
import type { Disclosure } from '../../domain/commitment';
import { AtbError } from '../../domain/error';
import type { MandateClaims } from '../../domain/mandate';
import { windowOf } from '../../domain/velocity';
import type { VelocityLimit, VelocityStanding } from '../../domain/velocity';
import type {
  AuditFilter,
  Exceeded,
  KeptReversal,
  Ledger,
  MandateEntry,
  OneTimeProof,
  PendingCaps,
  ReceivedVerdict,
  RecordedMandate,
  RequestEntry,
  RequestRecord,
  VerdictEntry,
} from '../../domain/ports';
import { PersonalData } from '../audit-log/personal-data';
import type { KeptEvent } from '../audit-log/personal-data';
import type { CodecKeys } from '../temporal/codec-keys';
import { PostgresSubjectKeys } from './subject-keys';
import { AuditAppender } from './audit-appender';
import { eventWhere } from './event-where';
import { dataOf } from './event-data';
import { openPool } from './pool';
import { rowsOf } from './rows';
import { underLock } from './transaction';
import { unavailable } from './unavailable';

// Above this a caller is told that the store is out of reach; steps have seven seconds.
const POOL = { size: 16, connectTimeoutMs: 2_000, statementTimeoutMs: 3_000 } as const;

// One lock for all who count pending requests: two at once cannot both take the last place.
const PENDING_LOCK = 731_410_226;

/**
 * Uses proofs up for request `$2`, where there is room for it. They are proven when each is new or was used for the
 * same request, and bound to the same; what another wrote while this waited is not seen, hence `replayed` below.
 */
const proofsOnce = (proofs: string, where = 'true') => `
  proof as (
    select key, coalesce($2 || ' ' || bound_to, $2) as used_for, expires_at
    from json_to_recordset(${proofs}::json) as proof (key text, bound_to text, expires_at timestamptz)
  ), used as (
    insert into used_proof (key, request_id, expires_at)
    select key, used_for, expires_at from proof
    where ${where} order by key on conflict (key) do nothing returning 1
  ), proven as (
    select 1 where json_array_length(${proofs}::json) = (select count(*) from used)
      + (select count(*) from used_proof join proof using (key) where request_id = used_for)
  )`;

const ADMIT = `
  with ${proofsOnce('$5')}, admitted as (
    insert into poa_request (request_id, subject, asked_digest, pending_until)
    select $2, $3, $4, null where exists (select from proven)
    on conflict (request_id) do nothing returning 1
  ), event as (${eventWhere('admitted')})
  select exists (select from admitted) as fresh, true as room, exists (select from proven) as proven`;

/** As ADMIT, where somebody has to be waited for: only while there is room, or the request is known already. */
const ADMIT_PENDING = `
  with pending as (
    select subject from poa_request
    where pending_until > $9::timestamptz and closed_at is null and jti is null
  ), room as (
    select 1 where exists (select from poa_request where request_id = $2)
      or ((select count(*) from pending where subject = $3) < $6::bigint
        and (select count(*) from pending) < $7::bigint)
  ), ${proofsOnce('$8', 'exists (select from room)')}, admitted as (
    insert into poa_request (request_id, subject, asked_digest, pending_until)
    select $2, $3, $4, $5::timestamptz where exists (select from room) and exists (select from proven)
    on conflict (request_id) do nothing returning 1
  ), event as (${eventWhere('admitted')})
  select exists (select from admitted) as fresh, exists (select from room) as room,
    exists (select from proven) as proven`;

const RECORD_VERDICT = `
  with recorded as (
    insert into verdict (jti, request_id, statement_digest, by, received_at)
    values ($3, $2, $4, $5, $6::timestamptz) on conflict (jti) do nothing returning *
  ), event as (${eventWhere('recorded')})
  select * from recorded union all select * from verdict where jti = $3 limit 1`;

const VERDICT_OF = 'select * from verdict where jti = $1';

/**
 * The first claims win, also where nobody can read them any more; a closed request takes none, and neither does one above
 * a velocity limit (0020-velocity).
 */
const RECORD_MANDATE = `
  with ${proofsOnce('$7')}, velocity as materialized (
    select case when exists (select from proven) then take_velocity($2, $3::timestamptz, $6::json) end as exceeded
  ), recorded as (
    update poa_request set jti = coalesce(jti, $4), claims = case when jti is null then $5 else claims end
    where request_id = $2 and closed_at is null and exists (select from proven)
      and (select exceeded from velocity) is null returning jti, claims
  ), fresh as (
    select 1 from recorded where jti = $4
  ), event as (${eventWhere('fresh')})
  select jti, claims, exceeded, exists (select from proven) as proven
  from velocity left join recorded on true`;

const KEEP_REVERSAL = `
  insert into reversal (jti, reverses, request_id, mandate, expires_at)
  values ($1, $2, $3, $4, to_timestamp($5)) on conflict do nothing`;

const USED_FOR = `
  select count(*)::int as used from used_proof
  join json_to_recordset($1::json) as proof (key text, bound_to text) using (key)
  where request_id = coalesce($2 || ' ' || bound_to, $2)`;

const PURGED_AT_ONCE = 10_000;

const VELOCITY_OF = `
  select coalesce(taken, 0) as taken
  from json_to_recordset($1::json) as asked(n integer, key text, window_seconds integer)
  left join velocity held on held.key = asked.key and held.window_seconds = asked.window_seconds
    and held.window_start >= velocity_window($2::timestamptz, asked.window_seconds)
  order by n`;

/** A request has one end, and the first stays. */
const CLOSE = `
  with closing as (
    update poa_request set closed_at = $3::timestamptz
    where request_id = $2 and closed_at is null and jti is null returning 1
  ), event as (${eventWhere('closing')})
  select exists (select from closing) as closed`;

const REVOKE = `
  with revoked as (
    insert into revocation (jti, revoked_at) values ($2, $3::timestamptz) on conflict (jti) do nothing returning 1
  )
  ${eventWhere('revoked')}`;

/** What a leaf tells of the digest of what was asked: its commitment, where the request is about somebody. */
const ASKED_DIGEST = `coalesce(audit_member(audit_member(e.leaf, 'commitments'), '/data/asked_digest'),
  audit_member(audit_member(e.leaf, 'data'), 'asked_digest'))`;

/** A verdict was received when, and only if, its audit event says so: an edit of the table alone makes it void. */
const RECORD_OF = `
  select r.subject, r.asked_digest, r.pending_until, r.closed_at, r.jti, r.claims,
    (select json_build_object('leaf', e.leaf, 'personal', e.personal) from audit_event e
       where e.id = r.request_id || '/poa_requested' and audit_member(e.leaf, 'subject') = r.subject
         and ${ASKED_DIGEST} = r.asked_digest) as requested,
    (select json_agg(json_build_array(v.jti, v.statement_digest, v.by, extract(epoch from v.received_at) * 1000,
       e.leaf, e.personal) order by v.received_at, v.jti)
     from verdict v join audit_event e on e.id = r.request_id || '/poa_verdict_recorded/' || v.jti
     where v.request_id = r.request_id) as verdicts,
    (select json_agg(json_build_array(audit_member(audit_member(e.leaf, 'data'), 'rung')::integer,
       audit_member(e.leaf, 'time')) order by e.seq)
     from audit_event e where e.request_id = r.request_id and e.type = 'poa_escalated') as rungs
  from poa_request r where r.request_id = $1`;

const LEAVES_OF = `
  select leaf_index, leaf, personal from audit_event left join audit_leaf using (seq)
  where request_id = $1 order by seq limit 10000`;

/** Whether a request is about the person: an event of it has something that was sealed with a key that is erased now. */
const aboutThem = (requestId: string) => `
  exists (select from audit_event e, erased
    where e.request_id = ${requestId} and position(erased.key_id in e.personal) > 0)`;

/**
 * The key, and in the same moment what names the person beside the log, where it cannot be sealed because somebody without
 * the keys needs it: what they said counts no more, what they proposed is not what was recorded, what was to be told is told
 * without it, and a reversal that names them is not made.
 */
const ERASE = `
  with erased as (
    update audit_subject set wrapped = null, erased_at = $3::timestamptz
    where handle = any($2::text[]) and erased_at is null returning key_id
  ), told as (
    update verdict set by = '' where by = $4 and exists (select from erased)
  ), let_go as (
    update suspension set lifted_at = coalesce(lifted_at, $3::timestamptz), person = 'erased/' || gen_random_uuid()
    where person = $4 and exists (select from erased)
  ), lift as (
    update stop_lift set by = 'erased/' || gen_random_uuid(), proposed_at = '-infinity'
    where by = $4 and exists (select from erased)
  ), proposed as (
    update proposal set author = case when author = $4 then '' else author end,
      statement = case when author = $4 then '' else statement end,
      content = case when position($4 in content) > 0 then '{}' else content end
    where (author = $4 or position($4 in content) > 0) and exists (select from erased)
  ), signed_off as (
    update sign_off set by = '', statement = '' where by = $4 and exists (select from erased)
  ), untold as (
    update notification set document = without_personal(document)
    where told_at is null and exists (select from erased)
      and (position($4 in document::text) > 0 or ${aboutThem("document ->> 'requestId'")})
  ), not_reversed as (
    update reversal set mandate = '', ended_at = coalesce(ended_at, $3::timestamptz)
    where mandate <> '' and exists (select from erased) and (expires_at < $3::timestamptz or ${aboutThem('reversal.request_id')})
  ), event as (${eventWhere('erased')})
  select exists (select from erased) as erased`;

/** The ledger in PostgreSQL: one statement, and so one transaction and one round trip, a write. */
export class PostgresLedger implements Ledger {
  private readonly pool: Pool;
  private readonly appender: AuditAppender;
  private readonly keys: PostgresSubjectKeys | null;
  private readonly personal: PersonalData;

  /** Without the audit keys nothing personal can be written, and none of it is read. */
  constructor(url: string, auditKeys?: CodecKeys) {
    this.pool = openPool(url, POOL);
    this.keys = auditKeys ? new PostgresSubjectKeys(this.pool, auditKeys) : null;
    this.personal = new PersonalData(this.keys);
    this.appender = new AuditAppender(this.pool, this.personal);
  }

  async admit(
    entry: RequestEntry,
    event: AuditEvent,
    caps: PendingCaps,
  ): Promise<'admitted' | 'too_many_pending'> {
    const { requestId, subject, askedDigest, pendingUntil } = entry;
    const kept = await this.kept({ ...event, requestId });
    const parameters = [kept, requestId, subject, committedDigest(kept) ?? askedDigest];
    const proofs = proofsJson(entry.proofs);
    const [row] =
      pendingUntil === null
        ? await rowsOf<Admitted>(this.pool, 'admit', ADMIT, [...parameters, proofs])
        : await underLock<Admitted>(this.pool, PENDING_LOCK, 'admit-pending', ADMIT_PENDING, [
            ...parameters,
            ...[pendingUntil, caps.perAgent, caps.total],
            proofs,
            event.time,
          ]);
    if (row?.room !== true) return 'too_many_pending';
    if (!row.proven) {
      await this.requireUsedFor(requestId, entry.proofs);
      return this.admit(entry, event, caps);
    }
    if (!row.fresh) {
      const { request } = await this.recordOf(requestId);
      if (request?.subject !== subject || request.askedDigest !== askedDigest) {
        throw new AtbError('evidence_mismatch', 'another request was recorded under this id');
      }
    }
    return 'admitted';
  }

  async recordVerdict(entry: VerdictEntry, event: AuditEvent): Promise<VerdictEntry> {
    const written = await rowsOf<VerdictRow>(this.pool, 'record-verdict', RECORD_VERDICT, [
      ...[await this.kept({ ...event, requestId: entry.requestId }), entry.requestId],
      ...[entry.jti, entry.statementDigest, entry.by, entry.receivedAt],
    ]);
    // None: it waited for a first writer, whose row is newer than what this statement could see.
    const [row] =
      written.length > 0
        ? written
        : await rowsOf<VerdictRow>(this.pool, 'verdict-of', VERDICT_OF, [entry.jti]);
    if (!row) throw unavailable(new Error('the verdict is neither written nor there'));
    return {
      jti: row.jti,
      requestId: row.request_id,
      statementDigest: row.statement_digest,
      by: row.by,
      receivedAt: row.received_at,
    };
  }

  async recordMandate(
    entry: MandateEntry,
    event: AuditEvent,
    limits: readonly VelocityLimit[],
  ): Promise<RecordedMandate | Exceeded> {
    const { requestId, jti } = entry;
    const parameters = [
      ...[await this.kept({ ...event, requestId }), requestId, event.time, jti],
      await this.personal.sealed(JSON.stringify(entry.claims), entry.about, claimsContext(requestId)),
      ...[limitsJson(narrowest(limits)), proofsJson(entry.proofs)],
    ];
    const [row] = await rowsOf<MandateRow>(this.pool, 'record-mandate', RECORD_MANDATE, parameters);
    if (row?.proven === false) {
      await this.requireUsedFor(entry.requestId, entry.proofs);
      return this.recordMandate(entry, event, limits);
    }
    if (row?.exceeded) {
      return { exceeded: { ...row.exceeded, resetsAt: new Date(row.exceeded.resetsAt * 1000) } };
    }
    if (row?.jti == null) throw new AtbError('request_finished', 'the request was closed before');
    if (row.jti === jti) return { jti, claims: entry.claims };
    const claims = await this.claimsOf(requestId, row.claims);
    if (!claims) throw new AtbError('request_finished', 'somebody whom its mandate is about was erased');
    return { jti: row.jti, claims };
  }

  async keepReversal({ claims, mandate }: KeptReversal): Promise<void> {
    const { jti, rev, req, exp } = claims;
    await rowsOf(this.pool, 'keep-reversal', KEEP_REVERSAL, [jti, rev.jti, req, mandate, exp]);
  }

  async velocityOf(limits: readonly VelocityLimit[], at: Date): Promise<readonly VelocityStanding[]> {
    const rows = await rowsOf<{ taken: number }>(this.pool, 'velocity-of', VELOCITY_OF, [
      limitsJson(limits),
      at,
    ]);
    return limits.map((limit, index) => ({
      ...limit,
      taken: rows[index]?.taken ?? 0,
      resetsAt: windowOf(at, limit.windowSeconds).end,
    }));
  }

  async close(requestId: string, event: AuditEvent): Promise<boolean> {
    const parameters = [await this.kept({ ...event, requestId }), requestId, event.time];
    const [row] = await rowsOf<{ closed: boolean }>(this.pool, 'close', CLOSE, parameters);
    // Closed before, also by one that this statement had to wait for; or a mandate was recorded.
    return row?.closed === true || (await this.recordOf(requestId)).closed;
  }

  async revoke(jti: string, event: AuditEvent): Promise<void> {
    await rowsOf(this.pool, 'revoke', REVOKE, [await this.kept(event), jti, event.time]);
  }

  async append(event: AuditEvent): Promise<void> {
    await this.appender.append(event);
  }

  async recordOf(requestId: string): Promise<RequestRecord> {
    const [row] = await rowsOf<{
      subject: string;
      asked_digest: string;
      requested: KeptEvent | null;
      pending_until: Date | null;
      closed_at: Date | null;
      jti: string | null;
      claims: string | null;
      verdicts: readonly VerdictColumns[] | null;
      rungs: readonly (readonly [number, string])[] | null;
    }>(this.pool, 'record-of', RECORD_OF, [requestId]);
    if (!row)
      return { request: null, requestedAt: null, closed: false, verdicts: [], rungs: [], mandate: null };
    const [requested] = row.requested === null ? [] : await this.personal.read([row.requested]);
    return {
      request: {
        requestId,
        subject: row.subject,
        askedDigest: requested ? (requested.data.asked_digest as string | null) : row.asked_digest,
        pendingUntil: row.pending_until,
      },
      requestedAt: requested?.time ?? null,
      closed: row.closed_at !== null,
      verdicts: await this.told(requestId, row.verdicts ?? []),
      rungs: (row.rungs ?? []).map(([rung, time]) => ({ rung, climbedAt: new Date(time) })),
      mandate: row.jti === null ? null : { jti: row.jti, claims: await this.claimsOf(requestId, row.claims) },
    };
  }

  /** Forgets proofs that prove nothing any more; answers how many. */
  async purgeProofs(): Promise<number> {
    let all = 0;
    for (;;) {
      const [row] = await rowsOf<{ purged: number }>(
        this.pool,
        'purge',
        'select purge_used_proof($1) as purged',
        [PURGED_AT_ONCE],
      );
      const purged = row?.purged ?? 0;
      all += purged;
      if (purged < PURGED_AT_ONCE) return all;
    }
  }

  async isRevoked(jti: string): Promise<boolean> {
    const rows = await rowsOf(this.pool, 'is-revoked', 'select 1 from revocation where jti = $1', [jti]);
    return rows.length > 0;
  }

  async openRequests(limit: number): Promise<readonly Pick<RequestEntry, 'requestId' | 'subject'>[]> {
    return rowsOf<Pick<RequestEntry, 'requestId' | 'subject'>>(
      this.pool,
      'open-requests',
      `select request_id as "requestId", subject from poa_request
       where pending_until is not null and closed_at is null and jti is null
       order by pending_until desc limit $1`,
      [limit],
    );
  }

  async issuedBetween(from: Date, until: Date): Promise<readonly IssuedCount[]> {
    return rowsOf<IssuedCount>(
      this.pool,
      'issued-between',
      `select audit_member(leaf, 'tier') as tier, audit_member(leaf, 'action') as action,
         audit_member(leaf, 'subject') as agent, count(*)::integer as count
       from audit_event where type in ('poa_issued', 'poa_issued_dual_control')
         and audit_member(leaf, 'tier') <> 'low'
         and audit_member(leaf, 'time') >= $1 and audit_member(leaf, 'time') < $2
       group by 1, 2, 3 order by 1, 2, 3`,
      [from.toISOString(), until.toISOString()],
    );
  }

  async workBetween(from: Date, until: Date, limit: number): Promise<readonly WorkCount[]> {
    return rowsOf<WorkCount>(
      this.pool,
      'work-between',
      `select type, ${dataOf('kind')} as kind, ${dataOf('name')} as name,
         coalesce(${dataOf('severity')}, ${dataOf('state')}) as state,
         count(*)::integer as count
       from audit_event where type in (${WORK_EVENT_TYPES.map((type) => `'${type}'`).join(', ')})
         and audit_member(leaf, 'time') >= $1 and audit_member(leaf, 'time') < $2
       group by 1, 2, 3, 4 order by 1, 2, 3, 4 limit $3`,
      [from.toISOString(), until.toISOString(), limit],
    );
  }

  async openReviews(limit: number): Promise<readonly StoredAuditEvent[]> {
    const rows = await rowsOf<KeptEvent & { readonly seq: string }>(
      this.pool,
      'open-reviews',
      `select seq, leaf, personal from audit_event e where type = 'poa_break_glass'
         and not exists (select from audit_event where id = e.request_id || '/poa_break_glass_reviewed')
       order by seq limit $1`,
      [limit],
    );
    return this.stored(rows);
  }

  async events({ requestId, type, afterSeq, limit }: AuditFilter): Promise<readonly StoredAuditEvent[]> {
    const rows = await rowsOf<KeptEvent & { readonly seq: string }>(
      this.pool,
      'events',
      `select seq, leaf, personal from audit_event
       where ($1::text is null or request_id = $1) and ($2::text is null or type = $2) and seq > $3
       order by seq limit $4`,
      [requestId ?? null, type ?? null, afterSeq ?? 0, limit],
    );
    return this.stored(rows);
  }

  private async stored(
    rows: readonly (KeptEvent & { readonly seq: string })[],
  ): Promise<readonly StoredAuditEvent[]> {
    const events = await this.personal.read(rows);
    return events.map((event, index) => ({ seq: Number(rows[index]?.seq), ...event }));
  }

  /**
   * The leaves of a request's events in their order, with their places, and what opens them; a place is null until
   * the log gives it one.
   */
  async leavesOf(requestId: string): Promise<readonly RequestLeaf[]> {
    const rows = await rowsOf<KeptEvent & { readonly leaf_index: string | null }>(
      this.pool,
      'leaves-of',
      LEAVES_OF,
      [requestId],
    );
    return Promise.all(
      rows.map(async (row) => ({
        index: row.leaf_index === null ? null : Number(row.leaf_index),
        leaf: row.leaf,
        disclosures: await this.personal.disclosures(row),
      })),
    );
  }

  /**
   * Erases the key of a person, which makes unreadable what the log knows of them, and records it; false where there is
   * none. What they said on requests that still wait counts no more.
   */
  async erasePerson(subject: string, by: string, at: Date): Promise<boolean> {
    if (!this.keys) throw new AtbError('configuration_invalid', 'without the audit keys nobody can be found');
    const handle = this.keys.currentHandle(subject);
    const event: AuditEvent = {
      id: `personal_data_erased/${handle}/${at.getTime()}`,
      type: 'personal_data_erased',
      time: at,
      ...{ requestId: null, actor: by, subject: null, action: null, tier: null },
      reasons: ['gdpr_art_17'],
      personal: { '/actor': by },
      data: { handle },
    };
    const values = [await this.kept(event), this.keys.handlesOf(subject), at, subject];
    const [row] = await rowsOf<{ erased: boolean }>(this.pool, 'erase', ERASE, values);
    this.keys.forget(subject);
    return row?.erased === true;
  }

  /** As a parameter of a statement: the leaf, and what is personal. */
  private async kept(event: AuditEvent): Promise<readonly [string, string | null]> {
    const { leaf, personal } = await this.personal.kept(event);
    return [leaf, personal];
  }

  private async claimsOf(requestId: string, sealed: string | null): Promise<MandateClaims | null> {
    const claims = sealed === null ? null : await this.personal.opened(sealed, claimsContext(requestId));
    return claims === null ? null : (JSON.parse(claims) as MandateClaims);
  }

  /** The verdicts whose event tells the same in every particular. */
  private async told(
    requestId: string,
    rows: readonly VerdictColumns[],
  ): Promise<readonly ReceivedVerdict[]> {
    const events = await this.personal.read(rows.map(([, , , , leaf, personal]) => ({ leaf, personal })));
    return rows.flatMap(([jti, statementDigest, by, receivedAt], index) => {
      const event = events[index];
      const isTold =
        event?.type === 'poa_verdict_recorded' &&
        event.requestId === requestId &&
        event.actor === by &&
        event.time.getTime() === receivedAt &&
        event.data.statement_digest === statementDigest;
      if (!isTold) return [];
      const received = { jti, requestId, statementDigest, by, receivedAt: new Date(receivedAt) };
      const { verdict, statement } = event.data;
      return [verdict === 'reject' ? { ...received, no: statement as string } : received];
    });
  }

  /** Throws `proof_replayed` unless all of them were used for this very request. */
  private async requireUsedFor(
    requestId: string,
    proofs: readonly OneTimeProof[] | undefined = [],
  ): Promise<void> {
    const [row] = await rowsOf<{ used: number }>(this.pool, 'used-for', USED_FOR, [
      proofsJson(proofs),
      requestId,
    ]);
    if (row?.used !== proofs.length) {
      throw new AtbError('proof_replayed', 'what proves this request came with another one before');
    }
  }

  /** Answers when the store does. Throws `audit_unavailable`. */
  async ping(): Promise<void> {
    await rowsOf(this.pool, 'ping', 'select 1', []);
  }

  /** After everything that waits was written, or failed. */
  async end(): Promise<void> {
    await this.appender.drained();
    await this.pool.end();
  }
}

/** The commitment to what was asked, as the table beside the log repeats it; undefined where it is about nobody. */
function committedDigest([leaf]: readonly [string, string | null]): string | undefined {
  return (JSON.parse(leaf) as Leaf).commitments['/data/asked_digest'];
}

function claimsContext(requestId: string): string {
  return `claims of ${requestId}`;
}

/** An event as the log has it. */
export interface RequestLeaf {
  readonly index: number | null;
  readonly leaf: string;
  readonly disclosures: readonly Disclosure[];
}

interface Admitted {
  readonly fresh: boolean;
  readonly room: boolean;
  readonly proven: boolean;
}

interface VerdictRow {
  readonly jti: string;
  readonly request_id: string;
  readonly statement_digest: string;
  readonly by: string;
  readonly received_at: Date;
}

/** Of a verdict: jti, digest of the statement, by whom, when (epoch milliseconds); of its event: leaf, personal. */
type VerdictColumns = readonly [string, string, string, number, string, string | null];

interface MandateRow {
  readonly proven: boolean;
  readonly jti: string | null;
  readonly claims: string | null;
  /** The limit that is reached; `resetsAt` in epoch seconds. */
  readonly exceeded: (Omit<VelocityStanding, 'resetsAt'> & { readonly resetsAt: number }) | null;
}

/** One limit for each counter: two rules of one name must not keep a mandate from being counted at all. */
function narrowest(limits: readonly VelocityLimit[]): readonly VelocityLimit[] {
  const byCounter = new Map<string, VelocityLimit>();
  for (const limit of limits) {
    const counter = `${limit.windowSeconds} ${limit.key}`;
    const known = byCounter.get(counter);
    if (!known || limit.most < known.most) byCounter.set(counter, limit);
  }
  return [...byCounter.values()];
}

function limitsJson(limits: readonly VelocityLimit[]): string {
  return JSON.stringify(
    limits.map(({ rule, key, most, windowSeconds }, n) => ({
      ...{ n, rule, key, most, window_seconds: windowSeconds },
    })),
  );
}

function proofsJson(proofs: readonly OneTimeProof[] = []): string {
  return JSON.stringify(
    proofs.map(({ key, boundTo, expiresAt }) => ({ key, bound_to: boundTo ?? null, expires_at: expiresAt })),
  );
}
