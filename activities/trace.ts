import type { AuditEvent } from '../domain/audit-event';
import type { Ledger } from '../domain/ports';

/** The ledger, for a step that belongs to a trace: its events say so. */
export function traced(ledger: Ledger, traceId: string | undefined): Ledger {
  if (traceId === undefined) return ledger;
  const within = (event: AuditEvent): AuditEvent => ({ ...event, traceId });
  return {
    admit: (entry, event, caps) => ledger.admit(entry, within(event), caps),
    recordVerdict: (entry, event) => ledger.recordVerdict(entry, within(event)),
    recordMandate: (entry, event, limits) => ledger.recordMandate(entry, within(event), limits),
    close: (requestId, event) => ledger.close(requestId, within(event)),
    revoke: (jti, event) => ledger.revoke(jti, within(event)),
    append: (event) => ledger.append(within(event)),
    keepReversal: (reversal) => ledger.keepReversal(reversal),
    velocityOf: (limits, at) => ledger.velocityOf(limits, at),
    openRequests: (limit) => ledger.openRequests(limit),
    recordOf: (requestId) => ledger.recordOf(requestId),
    isRevoked: (jti) => ledger.isRevoked(jti),
    issuedBetween: (from, until) => ledger.issuedBetween(from, until),
    openReviews: (limit) => ledger.openReviews(limit),
    events: (filter) => ledger.events(filter),
  };
}
