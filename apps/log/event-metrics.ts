import { Counter } from 'prom-client';
import type { Registry } from 'prom-client';
import { AUDIT_EVENT_TYPES, AUDIT_EVENTS } from '../../domain/audit-event';
import type { AuditEventType } from '../../domain/audit-event';
import type { AuditLeaf, AuditLeaves } from '../../domain/ports';

const TIERS = ['none', 'low', 'medium', 'high', 'critical'] as const;
// Reasons are our own codes and those of policy; a policy that makes them up without an end is `other` from here on.
const MOST_REASONS = 250;
// No ladder is longer than it is readable; whatever comes after is told as the last.
const LAST_RUNG = 5;

/**
 * What the audit log tells, as metrics: each event is counted once, when it is read to be sealed, whichever process wrote
 * it. Labels come from closed sets: types, tiers, codes (attack 37).
 */
export class EventMetrics {
  private readonly reasons = new Set<string>();
  private readonly events: Counter<'type' | 'tier'>;
  private readonly refusals: Counter<'type' | 'reason'>;
  private readonly escalations: Counter<'tier' | 'rung'>;

  constructor(registry: Registry) {
    this.events = new Counter({
      name: 'atb_audit_events_total',
      help: 'Audit events by type and tier',
      labelNames: ['type', 'tier'],
      registers: [registry],
    });
    this.refusals = new Counter({
      name: 'atb_refusals_total',
      help: 'Reasons of what was refused or failed, by the type of its audit event',
      labelNames: ['type', 'reason'],
      registers: [registry],
    });
    this.escalations = new Counter({
      name: 'atb_poa_escalations_total',
      help: 'Rungs that waiting requests climbed',
      labelNames: ['tier', 'rung'],
      registers: [registry],
    });
    // A series that begins with its first event shows no increase: each begins at nought.
    for (const type of AUDIT_EVENT_TYPES) for (const tier of TIERS) this.events.inc({ type, tier }, 0);
  }

  count(leaf: Uint8Array): void {
    const { tier, reasons, data, ...event } = JSON.parse(Buffer.from(leaf).toString('utf8')) as {
      readonly type: string;
      readonly tier: string | null;
      readonly reasons: readonly string[];
      readonly data: { readonly rung?: number };
    };
    // A process of a later version may write what this one does not know yet.
    if (!isKnown(event.type)) return;
    const { type } = event;
    this.events.inc({ type, tier: tier ?? 'none' });
    if (AUDIT_EVENTS[type].outcome !== 'success') {
      for (const reason of reasons) this.refusals.inc({ type, reason: this.bounded(reason) });
    }
    if (type === 'poa_escalated') {
      this.escalations.inc({ tier: tier ?? 'none', rung: Math.min(data.rung ?? 0, LAST_RUNG) });
    }
  }

  private bounded(reason: string): string {
    if (!this.reasons.has(reason) && this.reasons.size >= MOST_REASONS) return 'other';
    this.reasons.add(reason);
    return reason;
  }
}

function isKnown(type: string): type is AuditEventType {
  return Object.hasOwn(AUDIT_EVENTS, type);
}

/** The leaves, each counted the first time that it is read; those before `counted` were counted by an earlier process. */
export function countedLeaves(leaves: AuditLeaves, counted: number, metrics: EventMetrics): AuditLeaves {
  let next = counted;
  return {
    size: () => leaves.size(),
    async *read(from: number, to: number): AsyncIterable<AuditLeaf> {
      for await (const entry of leaves.read(from, to)) {
        if (entry.index === next) {
          metrics.count(entry.leaf);
          next += 1;
        }
        yield entry;
      }
    },
  };
}
