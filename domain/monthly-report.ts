import type { AuditEvent } from './audit-event';
import type { Json } from './json';
import { TIERS } from './policy';

/** So many of something. */
export interface Count {
  readonly name: string;
  readonly count: number;
}

/** How long people took, of the requests that they approved: from asking to the last word that was needed. */
export interface ApprovalTimes {
  readonly tier: string;
  readonly count: number;
  readonly medianSeconds: number;
  /** Nine of ten took no longer. */
  readonly p90Seconds: number;
  readonly longestSeconds: number;
}

export interface Day {
  /** 1 for the first of the month. */
  readonly day: number;
  readonly issued: number;
  readonly refused: number;
}

/** Something that somebody has to look at, as of the end of the month. */
export interface OpenReview {
  readonly what: string;
  readonly id: string;
  readonly since: Date;
  /** When it is due; null where nothing says. */
  readonly due: Date | null;
}

/** What Security reviews of one month (operating model §1), by the audit log alone. All times are UTC. */
export interface MonthlyReport {
  /** `2026-11`. */
  readonly month: string;
  readonly requests: number;
  readonly mandates: number;
  readonly mandatesByTier: readonly Count[];
  readonly mandatesByAgent: readonly Count[];
  readonly mandatesByApprover: readonly Count[];
  readonly mandatesByAction: readonly Count[];
  readonly endsWithoutMandate: readonly Count[];
  readonly denialsByReason: readonly Count[];
  readonly escalations: { readonly requests: number; readonly rungs: number };
  readonly approvalTimes: readonly ApprovalTimes[];
  readonly redemptions: readonly Count[];
  readonly breakGlass: readonly {
    readonly requestId: string;
    readonly at: Date;
    readonly by: readonly string[];
  }[];
  readonly openReviews: readonly OpenReview[];
  readonly days: readonly Day[];
}

/** The first and the last moment of a month, the last exclusive. Throws `RangeError` for what is no month. */
export function monthOf(month: string): { readonly since: Date; readonly until: Date } {
  const [, year = '', number = ''] = /^(\d{4})-(0[1-9]|1[0-2])$/.exec(month) ?? [];
  if (year === '') throw new RangeError(`${month} is no month`);
  return {
    since: new Date(Date.UTC(Number(year), Number(number) - 1, 1)),
    until: new Date(Date.UTC(Number(year), Number(number), 1)),
  };
}

const ENDS: Readonly<Record<string, string>> = {
  poa_denied: 'denied',
  poa_rejected: 'rejected',
  poa_withdrawn: 'withdrawn',
  poa_expired: 'expired',
  poa_cancelled: 'cancelled',
  poa_terminated: 'terminated',
};
const REFUSED = new Set(['poa_denied', 'poa_rejected']);
const USES: Readonly<Record<string, string>> = {
  poa_redeemed: 'let through with a mandate',
  poa_unmandated_low_risk: 'let through without one (low risk)',
  poa_redemption_refused: 'refused',
  poa_single_use_replay_blocked: 'replays blocked',
  guardrail_blocked: 'stopped by a guardrail',
  poa_given_back: 'mandates given back',
  poa_redemption_outcome_missing: 'let through, and nobody knows what came of it',
};
const UNKNOWN_PERSON = 'erased or unknown';

/** Goes through the log once, in its order, from its beginning; memory grows with the requests that are still open. */
export class MonthlyTally {
  private readonly since: Date;
  private readonly until: Date;
  private requests = 0;
  private mandates = 0;
  private readonly tiers = new Tally();
  private readonly agents = new Tally();
  private readonly approvers = new Tally();
  private readonly actions = new Tally();
  private readonly ends = new Tally();
  private readonly reasons = new Tally();
  private readonly uses = new Tally();
  private readonly escalated = new Tally();
  private readonly times = new Map<string, number[]>();
  private readonly days: { issued: number; refused: number }[];
  private readonly open = new Map<string, { readonly at: Date; lastWord: Date | null }>();
  private readonly glass: { requestId: string; at: Date; by: readonly string[] }[] = [];
  private readonly reviews = new Map<string, OpenReview>();

  constructor(private readonly month: string) {
    ({ since: this.since, until: this.until } = monthOf(month));
    const days = Math.round((this.until.getTime() - this.since.getTime()) / 86_400_000);
    this.days = Array.from({ length: days }, () => ({ issued: 0, refused: 0 }));
  }

  add(event: AuditEvent): void {
    if (event.time >= this.until) return;
    this.follow(event);
    if (event.time < this.since) return;
    this.count(event);
  }

  report(): MonthlyReport {
    return {
      month: this.month,
      requests: this.requests,
      mandates: this.mandates,
      mandatesByTier: TIERS.map((name) => ({ name, count: this.tiers.of(name) })),
      mandatesByAgent: this.agents.counts(),
      mandatesByApprover: this.approvers.counts(),
      mandatesByAction: this.actions.counts(),
      endsWithoutMandate: this.ends.counts(),
      denialsByReason: this.reasons.counts(),
      escalations: { requests: this.escalated.counts().length, rungs: this.escalated.total() },
      approvalTimes: TIERS.flatMap((tier) => timesOf(tier, this.times.get(tier) ?? [])),
      redemptions: this.uses.counts(),
      breakGlass: this.glass,
      openReviews: [...this.reviews.values()].sort((a, b) => a.since.getTime() - b.since.getTime()),
      days: this.days.map((day, index) => ({ day: index + 1, ...day })),
    };
  }

  /** What began, and did not end: also before the month. */
  private follow({ type, time, requestId, data }: AuditEvent): void {
    const kind: string = type;
    if (requestId !== null && kind === 'poa_requested')
      this.open.set(requestId, { at: time, lastWord: null });
    const asked = requestId === null ? undefined : this.open.get(requestId);
    if (asked && kind === 'poa_verdict_recorded' && data.verdict !== 'reject') asked.lastWord = time;
    if (requestId !== null && (Object.hasOwn(ENDS, kind) || kind === 'poa_revoked'))
      this.open.delete(requestId);
    if (requestId !== null && kind === 'poa_break_glass') {
      const due = typeof data.review_until === 'number' ? new Date(data.review_until * 1000) : null;
      this.reviews.set(requestId, { what: 'break glass', id: requestId, since: time, due });
    }
    if (requestId !== null && kind === 'poa_break_glass_reviewed') this.reviews.delete(requestId);
    const { proposal } = data;
    if (typeof proposal !== 'string') return;
    if (kind === 'proposal_made') {
      this.reviews.set(proposal, {
        what: `proposal: ${textOf(data.kind)}`,
        id: proposal,
        since: time,
        due: null,
      });
    } else if (kind === 'proposal_approved' || kind === 'proposal_ended') this.reviews.delete(proposal);
    else if (kind === 'proposal_lapsed') {
      this.reviews.set(proposal, {
        what: `lapsed: ${textOf(data.kind)}`,
        id: proposal,
        since: time,
        due: null,
      });
    }
  }

  private count(event: AuditEvent): void {
    const { time, requestId, subject, action, tier, reasons, data } = event;
    const type: string = event.type;
    const day = this.days[time.getUTCDate() - 1];
    if (type === 'poa_requested') this.requests += 1;
    if (type === 'poa_issued' || type === 'poa_issued_dual_control') {
      this.mandates += 1;
      if (day) day.issued += 1;
      this.tiers.add(tier ?? 'unknown');
      this.agents.add(subject ?? 'unknown');
      this.actions.add(action ?? 'unknown');
      for (const by of (data.approvers ?? []) as readonly (string | null)[]) {
        this.approvers.add(by ?? UNKNOWN_PERSON);
      }
      this.took(requestId, tier ?? 'unknown');
    }
    if (Object.hasOwn(ENDS, type)) this.ends.add(ENDS[type] ?? type);
    if (REFUSED.has(type)) {
      if (day) day.refused += 1;
      for (const reason of reasons) this.reasons.add(reason);
    }
    if (type === 'poa_escalated' && Number(data.rung) > 0 && requestId !== null)
      this.escalated.add(requestId);
    if (Object.hasOwn(USES, type)) this.uses.add(USES[type] ?? type);
    if (type === 'poa_break_glass' && requestId !== null) {
      const people = (data.people ?? []) as readonly (string | null)[];
      this.glass.push({ requestId, at: time, by: people.map((by) => by ?? UNKNOWN_PERSON) });
    }
  }

  private took(requestId: string | null, tier: string): void {
    const asked = requestId === null ? undefined : this.open.get(requestId);
    if (requestId !== null) this.open.delete(requestId);
    if (!asked?.lastWord) return;
    const seconds = (asked.lastWord.getTime() - asked.at.getTime()) / 1000;
    this.times.set(tier, [...(this.times.get(tier) ?? []), seconds]);
  }
}

function textOf(value: Json | undefined): string {
  return typeof value === 'string' ? value : 'unknown';
}

class Tally {
  private readonly found = new Map<string, number>();

  add(name: string): void {
    this.found.set(name, this.of(name) + 1);
  }

  of(name: string): number {
    return this.found.get(name) ?? 0;
  }

  total(): number {
    return [...this.found.values()].reduce((sum, count) => sum + count, 0);
  }

  /** The most first, and then by name. */
  counts(): readonly Count[] {
    return [...this.found]
      .map(([name, count]) => ({ name, count }))
      .sort((a, b) => b.count - a.count || (a.name < b.name ? -1 : 1));
  }
}

function timesOf(tier: string, seconds: readonly number[]): readonly ApprovalTimes[] {
  if (seconds.length === 0) return [];
  const sorted = [...seconds].sort((a, b) => a - b);
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? 0;
  return [{ tier, count: sorted.length, medianSeconds: at(0.5), p90Seconds: at(0.9), longestSeconds: at(1) }];
}
