import type { Pool } from 'pg';
import type { AuditEvent } from '../../domain/audit-event';
import { AtbError } from '../../domain/error';
import type { ProbeEntry, Probes } from '../../domain/ports';
import { PersonalData } from '../audit-log/personal-data';
import type { CodecKeys } from '../temporal/codec-keys';
import { eventWhere } from './event-where';
import { openPool } from './pool';
import { PostgresSubjectKeys } from './subject-keys';
import { rowsOf } from './rows';

const POOL = { size: 4, connectTimeoutMs: 2_000, statementTimeoutMs: 3_000 } as const;

const BEGIN = `
  with begun as (
    insert into poa_request (request_id, subject, asked_digest, probe, probe_turn) values ($2, $3, $4, $5, $6)
    on conflict do nothing returning 1
  ) ${eventWhere('begun')}`;

const SUSPEND = `
  with suspended as (
    insert into suspension (person, request_id, suspended_at) values ($2, $3, $4::timestamptz)
    on conflict do nothing returning 1
  ) ${eventWhere('suspended')}`;

const LIFT = `
  with lifted as (
    update suspension set lifted_at = $3::timestamptz where person = $2 and lifted_at is null returning 1
  ) ${eventWhere('lifted')}`;

/** Probes in PostgreSQL: one statement, and so one transaction and one round trip, a write. */
export class PostgresProbes implements Probes {
  private readonly pool: Pool;
  private readonly personal: PersonalData;

  /** Without the audit keys nothing can be written; it can be read. */
  constructor(url: string, auditKeys?: CodecKeys) {
    this.pool = openPool(url, POOL);
    this.personal = new PersonalData(auditKeys ? new PostgresSubjectKeys(this.pool, auditKeys) : null);
  }

  async begin(
    { requestId, subject, askedDigest, proposal, turn }: ProbeEntry,
    event: AuditEvent,
  ): Promise<void> {
    await this.write('begin-probe', BEGIN, event, [requestId, subject, askedDigest, proposal, turn]);
    // Apart: what another wrote while this waited for it is newer than what the statement could see.
    const rows = await rowsOf<{ request_id: string; subject: string; asked_digest: string }>(
      this.pool,
      'probe-of',
      'select request_id, subject, asked_digest from poa_request where probe = $1 and probe_turn = $2',
      [proposal, turn],
    );
    const [row] = rows;
    if (row?.request_id !== requestId || row.subject !== subject || row.asked_digest !== askedDigest) {
      throw new AtbError('evidence_mismatch', 'the proposal is of another probe, or the request is none');
    }
  }

  suspend(person: string, requestId: string, event: AuditEvent): Promise<void> {
    return this.write('suspend', SUSPEND, event, [person, requestId, event.time]);
  }

  lift(person: string, event: AuditEvent): Promise<void> {
    return this.write('lift', LIFT, event, [person, event.time]);
  }

  async suspended(): Promise<readonly string[]> {
    const rows = await rowsOf<{ person: string }>(
      this.pool,
      'suspended',
      'select distinct person from suspension where lifted_at is null order by person',
      [],
    );
    return rows.map(({ person }) => person);
  }

  async end(): Promise<void> {
    await this.pool.end();
  }

  /** The event is the statement's first parameter: the leaf, and what is personal. */
  private async write(
    name: string,
    text: string,
    event: AuditEvent,
    values: readonly unknown[],
  ): Promise<void> {
    const { leaf, personal } = await this.personal.kept(event);
    await rowsOf(this.pool, name, text, [[leaf, personal], ...values]);
  }
}
