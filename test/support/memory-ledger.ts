import { recordedLeaf } from '../../adapters/audit-log/leaf';
import type { AuditEvent, StoredAuditEvent } from '../../domain/audit-event';
import { WORK_EVENT_TYPES } from '../../domain/digest-plan';
import type { IssuedCount, WorkCount } from '../../domain/digest-plan';
import { AtbError } from '../../domain/error';
import type { MandateClaims } from '../../domain/mandate';
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
import { windowOf } from '../../domain/velocity';
import type { VelocityLimit, VelocityStanding } from '../../domain/velocity';

interface Row {
  readonly request: RequestEntry;
  closed: boolean;
  /** As text, like in the database: what is handed out is never what is kept. */
  mandate: { readonly jti: string; readonly claims: string } | null;
}

/** A ledger that behaves, without a database: held to the same contract as the real one. */
export class MemoryLedger implements Ledger {
  private readonly log: StoredAuditEvent[] = [];
  private readonly requests = new Map<string, Row>();
  private readonly verdicts = new Map<string, VerdictEntry>();
  private readonly revoked = new Set<string>();
  private readonly velocity = new Map<string, { readonly taken: number; readonly resetsAt: Date }>();
  /** The request of each proof, and what it is bound to. */
  private readonly used = new Map<string, string>();
  /** By the `jti` of the mandate that each reverses. */
  readonly reversals = new Map<string, KeptReversal>();
  private available = true;

  /** From now on nothing is answered, as when the database is down. */
  stop(): void {
    this.available = false;
  }

  start(): void {
    this.available = true;
  }

  admit(entry: RequestEntry, event: AuditEvent, caps: PendingCaps): Promise<'admitted' | 'too_many_pending'> {
    return this.atomically(() => {
      const known = this.requests.get(entry.requestId)?.request;
      if (!known && entry.pendingUntil !== null && !this.hasRoom(entry.subject, event.time, caps)) {
        return 'too_many_pending';
      }
      this.useUp(entry.requestId, entry.proofs);
      if (known) {
        if (known.subject !== entry.subject || known.askedDigest !== entry.askedDigest) {
          throw new AtbError('evidence_mismatch', 'another request was recorded under this id');
        }
        return 'admitted';
      }
      this.requests.set(entry.requestId, { request: structuredClone(entry), closed: false, mandate: null });
      this.write({ ...event, requestId: entry.requestId });
      return 'admitted';
    });
  }

  recordVerdict(entry: VerdictEntry, event: AuditEvent): Promise<VerdictEntry> {
    return this.atomically(() => {
      const earlier = this.verdicts.get(entry.jti);
      if (earlier) return structuredClone(earlier);
      this.verdicts.set(entry.jti, structuredClone(entry));
      this.write({ ...event, requestId: entry.requestId });
      return entry;
    });
  }

  recordMandate(
    entry: MandateEntry,
    event: AuditEvent,
    limits: readonly VelocityLimit[],
  ): Promise<RecordedMandate | Exceeded> {
    return this.atomically(() => {
      const { requestId, jti } = entry;
      const row = this.requests.get(requestId);
      this.useUp(requestId, entry.proofs);
      if (!row || row.closed) throw new AtbError('request_finished', 'the request was closed before');
      if (!row.mandate) {
        const standings = limits.map((limit) => this.standing(limit, event.time));
        const [exceeded] = standings
          .filter(({ taken, most }) => taken >= most)
          .sort((a, b) => b.resetsAt.getTime() - a.resetsAt.getTime() || (a.key < b.key ? -1 : 1));
        if (exceeded) return { exceeded };
        for (const { key, windowSeconds, taken, resetsAt } of standings) {
          this.velocity.set(`${key} ${windowSeconds}`, { taken: taken + 1, resetsAt });
        }
        row.mandate = { jti, claims: JSON.stringify(entry.claims) };
        this.write({ ...event, requestId });
      }
      return mandateOf(row.mandate);
    });
  }

  keepReversal(reversal: KeptReversal): Promise<void> {
    return this.atomically(() => {
      const { jti } = reversal.claims.rev;
      if (!this.reversals.has(jti)) this.reversals.set(jti, structuredClone(reversal));
    });
  }

  velocityOf(limits: readonly VelocityLimit[], at: Date): Promise<readonly VelocityStanding[]> {
    return this.atomically(() => limits.map((limit) => this.standing(limit, at)));
  }

  close(requestId: string, event: AuditEvent): Promise<boolean> {
    return this.atomically(() => {
      const row = this.requests.get(requestId);
      if (!row || row.mandate) return false;
      if (!row.closed) {
        row.closed = true;
        this.write({ ...event, requestId });
      }
      return true;
    });
  }

  revoke(jti: string, event: AuditEvent): Promise<void> {
    return this.atomically(() => {
      if (this.revoked.has(jti)) return;
      this.revoked.add(jti);
      this.write(event);
    });
  }

  append(event: AuditEvent): Promise<void> {
    return this.atomically(() => {
      this.write(event);
    });
  }

  recordOf(requestId: string): Promise<RequestRecord> {
    return this.atomically(() => {
      const row = this.requests.get(requestId);
      if (!row)
        return { request: null, requestedAt: null, closed: false, verdicts: [], rungs: [], mandate: null };
      return {
        request: structuredClone(row.request),
        requestedAt: this.toldAt(row.request),
        closed: row.closed,
        verdicts: [...this.verdicts.values()]
          .filter((verdict) => verdict.requestId === requestId)
          .sort((a, b) => a.receivedAt.getTime() - b.receivedAt.getTime() || (a.jti < b.jti ? -1 : 1))
          .flatMap((verdict) => this.told(verdict)),
        rungs: this.log
          .filter((event) => event.requestId === requestId && event.type === 'poa_escalated')
          .map(({ data, time }) => ({ rung: data.rung as number, climbedAt: time })),
        mandate: row.mandate && mandateOf(row.mandate),
      };
    });
  }

  isRevoked(jti: string): Promise<boolean> {
    return this.atomically(() => this.revoked.has(jti));
  }

  openRequests(limit: number): Promise<readonly Pick<RequestEntry, 'requestId' | 'subject'>[]> {
    return this.atomically(() =>
      [...this.requests.values()]
        .filter(({ request, closed, mandate }) => request.pendingUntil !== null && !closed && !mandate)
        .sort((a, b) => Number(b.request.pendingUntil) - Number(a.request.pendingUntil))
        .slice(0, limit)
        .map(({ request: { requestId, subject } }) => ({ requestId, subject })),
    );
  }

  issuedBetween(from: Date, until: Date): Promise<readonly IssuedCount[]> {
    return this.atomically(() => {
      const counts = new Map<string, IssuedCount>();
      for (const { type, tier, action, subject, time } of this.log) {
        if (!type.startsWith('poa_issued') || tier === null || tier === 'low') continue;
        if (time < from || time >= until || action === null || subject === null) continue;
        const key = `${tier} ${action} ${subject}`;
        counts.set(key, { tier, action, agent: subject, count: (counts.get(key)?.count ?? 0) + 1 });
      }
      return [...counts.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, count]) => count);
    });
  }

  workBetween(from: Date, until: Date, limit: number): Promise<readonly WorkCount[]> {
    return this.atomically(() => {
      const counts = new Map<string, WorkCount>();
      for (const { type, data, time } of this.log) {
        const known = WORK_EVENT_TYPES.find((one) => one === type);
        if (!known || time < from || time >= until) continue;
        const text = (value: unknown) => (typeof value === 'string' ? value : null);
        const { kind, name, state, severity } = data;
        const one = { kind: text(kind) ?? '', name: text(name), state: text(severity) ?? text(state) };
        const key = [type, one.kind, one.name ?? '~', one.state ?? '~'].join(' ');
        counts.set(key, { type: known, ...one, count: (counts.get(key)?.count ?? 0) + 1 });
      }
      const sorted = [...counts.entries()].sort(([a], [b]) => (a < b ? -1 : 1));
      return sorted.slice(0, limit).map(([, count]) => count);
    });
  }

  openReviews(limit: number): Promise<readonly StoredAuditEvent[]> {
    return this.atomically(() =>
      this.log
        .filter(({ type }) => type === 'poa_break_glass')
        .filter(({ requestId }) => !this.log.some(({ id }) => id === `${requestId}/poa_break_glass_reviewed`))
        .slice(0, limit)
        .map((event) => structuredClone(event)),
    );
  }

  events({ requestId, type, afterSeq = 0, limit }: AuditFilter): Promise<readonly StoredAuditEvent[]> {
    return this.atomically(() =>
      this.log
        .filter((event) => requestId === undefined || event.requestId === requestId)
        .filter((event) => type === undefined || event.type === type)
        .filter((event) => event.seq > afterSeq)
        .slice(0, limit)
        .map((event) => structuredClone(event)),
    );
  }

  /** As if the event had never been written: a process died just before. */
  forget(id: string): void {
    const index = this.log.findIndex((event) => event.id === id);
    if (index >= 0) this.log.splice(index, 1);
  }

  private toldAt({ requestId, subject, askedDigest }: RequestEntry): Date | null {
    const event = this.log.find(({ id }) => id === `${requestId}/poa_requested`);
    return event?.subject === subject && event.data.asked_digest === askedDigest ? event.time : null;
  }

  private told(entry: VerdictEntry): readonly ReceivedVerdict[] {
    const { requestId, jti, by, receivedAt, statementDigest } = entry;
    const event = this.log.find(({ id }) => id === `${requestId}/poa_verdict_recorded/${jti}`);
    const isTold =
      event?.type === 'poa_verdict_recorded' &&
      event.actor === by &&
      event.time.getTime() === receivedAt.getTime() &&
      event.data.statement_digest === statementDigest;
    if (!isTold) return [];
    const { verdict, statement } = event.data;
    return [structuredClone(verdict === 'reject' ? { ...entry, no: statement as string } : entry)];
  }

  private standing(limit: VelocityLimit, at: Date): VelocityStanding {
    const { end } = windowOf(at, limit.windowSeconds);
    const held = this.velocity.get(`${limit.key} ${limit.windowSeconds}`);
    return held && held.resetsAt >= end ? { ...limit, ...held } : { ...limit, taken: 0, resetsAt: end };
  }

  private useUp(requestId: string, proofs: readonly OneTimeProof[] = []): void {
    const use = ({ boundTo }: OneTimeProof) =>
      boundTo === undefined ? requestId : `${requestId} ${boundTo}`;
    for (const proof of proofs) {
      if ((this.used.get(proof.key) ?? use(proof)) !== use(proof)) {
        throw new AtbError('proof_replayed', 'what proves this request came with another one before');
      }
    }
    for (const proof of proofs) this.used.set(proof.key, use(proof));
  }

  private hasRoom(subject: string, now: Date, caps: PendingCaps): boolean {
    const pending = [...this.requests.values()].filter(
      ({ request, closed, mandate }) =>
        !closed && !mandate && request.pendingUntil !== null && request.pendingUntil > now,
    );
    const own = pending.filter(({ request }) => request.subject === subject);
    return own.length < caps.perAgent && pending.length < caps.total;
  }

  private write(event: AuditEvent): void {
    recordedLeaf(event);
    if (this.log.some(({ id }) => id === event.id)) return;
    this.log.push({ ...structuredClone(event), seq: this.log.length + 1 });
  }

  /** Without an await inside, nothing else of this process comes between. */
  private async atomically<T>(work: () => T): Promise<T> {
    await Promise.resolve();
    if (!this.available) throw new AtbError('audit_unavailable', 'the audit store cannot be reached');
    return work();
  }
}

function mandateOf({ jti, claims }: { jti: string; claims: string }): RecordedMandate {
  return { jti, claims: JSON.parse(claims) as MandateClaims };
}
