import type { Pool } from 'pg';
import type { AuditEvent } from '../../domain/audit-event';
import { canonicalJson } from '../../domain/canonical-json';
import { sha256Base64url } from '../../domain/digest';
import { AtbError } from '../../domain/error';
import type {
  ActiveConnector,
  PolicyApprovals,
  ProposalEnd,
  ProposalEntry,
  ProposalRecord,
  Proposals,
  SignOffEntry,
} from '../../domain/ports';
import type { JsonObject } from '../../domain/json';
import type { ProposalKind } from '../../domain/proposal';
import { PersonalData } from '../audit-log/personal-data';
import type { KeptEvent } from '../audit-log/personal-data';
import type { CodecKeys } from '../temporal/codec-keys';
import { eventWhere } from './event-where';
import { openPool } from './pool';
import { PostgresSubjectKeys } from './subject-keys';
import { rowsOf } from './rows';
import { unavailable } from './unavailable';

const POOL = { size: 4, connectTimeoutMs: 2_000, statementTimeoutMs: 3_000 } as const;

const PROPOSE = `
  with proposed as (
    insert into proposal (id, kind, name, content, author, statement, proposed_at)
    values ($2, $3, $4, $5, $6, $7, $8::timestamptz) on conflict (id) do nothing returning 1
  ) ${eventWhere('proposed')}`;

const RECORD_SIGN_OFF = `
  with recorded as (
    insert into sign_off (jti, proposal_id, statement, by, received_at)
    values ($2, $3, $4, $5, $6::timestamptz) on conflict (jti) do nothing returning 1
  ) ${eventWhere('recorded')}`;

/** A proposal has one end, and the first stays. */
const CONCLUDED = `
  concluded as (
    update proposal set outcome = $3, decided_at = $4::timestamptz
    where id = $2 and outcome is null returning 1
  ), event as (${eventWhere('concluded')})`;

const CONCLUDE = `with ${CONCLUDED} select exists (select from concluded) as fresh`;

const ACTIVATE = `
  with ${CONCLUDED}, active as (
    insert into active_connector as held (name, digest, proposal_id, valid_until)
    select $5, $6, $2, $7::timestamptz where exists (select from concluded)
    on conflict (name) do update set digest = excluded.digest, proposal_id = excluded.proposal_id,
      valid_until = excluded.valid_until, retired_at = null
  ) select exists (select from concluded) as fresh`;

const RETIRE = `
  with ${CONCLUDED}, retired as (
    update active_connector set retired_at = $4::timestamptz
    where name = $5 and exists (select from concluded)
  ) select exists (select from concluded) as fresh`;

const PROPOSAL_OF = `
  select p.*, made.leaf as made, made.personal as made_personal
  from proposal p left join audit_event made on made.id = p.id || '/proposal_made' where p.id = $1`;

const SIGN_OFFS_OF = `
  select s.*, e.leaf, e.personal
  from sign_off s join audit_event e on e.id = s.proposal_id || '/sign_off_recorded/' || s.jti
  where s.proposal_id = $1 order by e.seq`;

/** In force, and known to the log as exactly this: an edit of the table alone puts nothing in force. */
const ACTIVE = `
  select a.name, a.digest, a.proposal_id, a.valid_until from active_connector a
  join audit_event e on e.id = a.proposal_id || '/proposal_approved'
  where a.retired_at is null and audit_member(audit_member(e.leaf, 'data'), 'digest') = a.digest
    and audit_member(audit_member(e.leaf, 'data'), 'name') = a.name`;

/** The first event of the type stands near the beginning of the log. */
const FIRST_POLICY = `
  select audit_member(audit_member(leaf, 'data'), 'revision') as revision from audit_event
  where type = 'policy_loaded' order by seq limit 1`;

const APPROVED = `
  select p.id from proposal p join audit_event e on e.id = p.id || '/proposal_approved'
  where p.kind = $1 and p.name = $2 and p.outcome = 'approved' order by e.seq desc`;

/** A policy that was loaded in the first's place is rolled out: what was said of its share before counts no more. */
const ROLLOUT_OF = `
  select p.id from proposal p join audit_event e on e.id = p.id || '/proposal_approved'
  where p.kind = 'policy_rollout' and p.name = $1 and p.outcome = 'approved' and not exists (
    select from audit_event l where l.type = 'policy_loaded' and l.seq > e.seq
      and audit_member(audit_member(l.leaf, 'data'), 'revision') = $1
  ) order by e.seq desc limit 1`;

/** Proposals in PostgreSQL: one statement, and so one transaction and one round trip, a write. */
export class PostgresProposals implements Proposals, PolicyApprovals {
  private readonly pool: Pool;
  private readonly personal: PersonalData;

  /** Without the audit keys nothing can be proposed or signed off; it can be read. */
  constructor(url: string, auditKeys?: CodecKeys) {
    this.pool = openPool(url, POOL);
    this.personal = new PersonalData(auditKeys ? new PostgresSubjectKeys(this.pool, auditKeys) : null);
  }

  async propose(entry: ProposalEntry, event: AuditEvent): Promise<void> {
    const { id, kind, name, content, author, statement, proposedAt } = entry;
    await rowsOf(this.pool, 'propose', PROPOSE, [
      await this.kept(event),
      ...[id, kind, name, canonicalJson(content), author, statement, proposedAt],
    ]);
  }

  async recordSignOff(entry: SignOffEntry, event: AuditEvent): Promise<SignOffEntry> {
    const { jti, proposalId, statement, by, receivedAt } = entry;
    await rowsOf(this.pool, 'record-sign-off', RECORD_SIGN_OFF, [
      await this.kept(event),
      ...[jti, proposalId, statement, by, receivedAt],
    ]);
    // Apart: what another wrote while this waited for it is newer than what the statement could see.
    const [row] = await rowsOf<SignOffRow>(this.pool, 'sign-off', 'select * from sign_off where jti = $1', [
      jti,
    ]);
    if (!row) throw unavailable(new Error('the sign-off is neither written nor there'));
    return entryOf(row);
  }

  conclude(id: string, end: ProposalEnd, event: AuditEvent): Promise<ProposalEnd> {
    return this.concluded('conclude', CONCLUDE, id, end, event, []);
  }

  activate(id: string, connector: ActiveConnector, event: AuditEvent): Promise<ProposalEnd> {
    const { name, digest, validUntil } = connector;
    return this.concluded('activate', ACTIVATE, id, 'approved', event, [name, digest, validUntil]);
  }

  retire(id: string, name: string, event: AuditEvent): Promise<ProposalEnd> {
    return this.concluded('retire', RETIRE, id, 'approved', event, [name]);
  }

  async append(event: AuditEvent): Promise<void> {
    const text = `with one as (select 1) ${eventWhere('one')}`;
    await rowsOf(this.pool, 'append-one', text, [await this.kept(event)]);
  }

  async recordOf(id: string): Promise<ProposalRecord> {
    const [row] = await rowsOf<ProposalRow>(this.pool, 'proposal-of', PROPOSAL_OF, [id]);
    if (!row) return { proposal: null, words: [], end: null };
    const content = JSON.parse(row.content) as JsonObject;
    const proposal: ProposalEntry = {
      ...{ id, kind: row.kind, name: row.name, content, author: row.author },
      ...{ statement: row.statement, proposedAt: row.proposed_at },
    };
    const [made] =
      row.made === null ? [] : await this.personal.read([{ leaf: row.made, personal: row.made_personal }]);
    const isTold =
      made?.type === 'proposal_made' &&
      made.time.getTime() === row.proposed_at.getTime() &&
      made.data.statement_digest === sha256Base64url(row.statement);
    return { proposal: isTold ? proposal : null, words: await this.told(id), end: row.outcome };
  }

  async activeConnectors(): Promise<readonly ActiveConnector[]> {
    const rows = await rowsOf<ActiveRow>(this.pool, 'active-connectors', ACTIVE, []);
    return rows.map(({ name, digest, proposal_id: proposalId, valid_until: validUntil }) => ({
      ...{ name, digest, proposalId, validUntil },
    }));
  }

  async firstPolicy(): Promise<string | null> {
    const [row] = await rowsOf<{ revision: string }>(this.pool, 'first-policy', FIRST_POLICY, []);
    return row?.revision ?? null;
  }

  async approved(kind: ProposalKind, name: string): Promise<readonly string[]> {
    const rows = await rowsOf<{ id: string }>(this.pool, 'approved-of', APPROVED, [kind, name]);
    return rows.map(({ id }) => id);
  }

  async rolloutOf(revision: string): Promise<string | null> {
    const [row] = await rowsOf<{ id: string }>(this.pool, 'rollout-of', ROLLOUT_OF, [revision]);
    return row?.id ?? null;
  }

  async end(): Promise<void> {
    await this.pool.end();
  }

  /** The words whose event tells the same; whose they are, their certificates say. */
  private async told(id: string): Promise<readonly SignOffEntry[]> {
    const rows = await rowsOf<SignOffRow & KeptEvent>(this.pool, 'sign-offs-of', SIGN_OFFS_OF, [id]);
    const events = await this.personal.read(rows);
    return rows
      .filter((row, index) => {
        const event = events[index];
        return (
          event?.type === 'sign_off_recorded' &&
          event.time.getTime() === row.received_at.getTime() &&
          event.data.proposal === id &&
          event.data.statement_digest === sha256Base64url(row.statement)
        );
      })
      .map(entryOf);
  }

  private async concluded(
    name: string,
    text: string,
    id: string,
    end: ProposalEnd,
    event: AuditEvent,
    more: readonly unknown[],
  ): Promise<ProposalEnd> {
    const values = [await this.kept(event), id, end, event.time, ...more];
    const [row] = await rowsOf<{ fresh: boolean }>(this.pool, name, text, values);
    if (row?.fresh === true) return end;
    const [before] = await rowsOf<{ outcome: ProposalEnd | null }>(
      this.pool,
      'outcome-of',
      'select outcome from proposal where id = $1',
      [id],
    );
    if (before?.outcome == null) throw new AtbError('proposal_unknown', 'no such proposal was recorded');
    return before.outcome;
  }

  /** As a parameter of a statement: the leaf, and what is personal. */
  private async kept(event: AuditEvent): Promise<readonly (string | null)[]> {
    const { leaf, personal } = await this.personal.kept(event);
    return [leaf, personal];
  }
}

interface ProposalRow {
  readonly kind: ProposalKind;
  readonly name: string;
  readonly content: string;
  readonly author: string;
  readonly statement: string;
  readonly proposed_at: Date;
  readonly outcome: ProposalEnd | null;
  readonly made: string | null;
  readonly made_personal: string | null;
}

interface SignOffRow {
  readonly jti: string;
  readonly proposal_id: string;
  readonly statement: string;
  readonly by: string;
  readonly received_at: Date;
}

interface ActiveRow {
  readonly name: string;
  readonly digest: string;
  readonly proposal_id: string;
  readonly valid_until: Date | null;
}

function entryOf(row: SignOffRow): SignOffEntry {
  return {
    jti: row.jti,
    proposalId: row.proposal_id,
    statement: row.statement,
    by: row.by,
    receivedAt: row.received_at,
  };
}
