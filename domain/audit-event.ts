import type { JsonObject } from './json';
import type { Tier } from './policy';

/** What the audit log tells, one fact an event. Source: operating model §2.1, §2.2, §6. */
export const AUDIT_EVENT_TYPES = [
  'poa_requested',
  'poa_denied',
  'poa_verdict_recorded',
  'poa_verdict_refused',
  'poa_signal_rejected',
  'poa_escalated',
  'poa_reclassified',
  'poa_issued',
  'poa_issued_dual_control',
  'poa_velocity_exceeded',
  'poa_rejected',
  'poa_withdrawn',
  'poa_expired',
  'poa_cancelled',
  'poa_revoked',
  'identity_token_issued',
  'person_registered',
  'person_registration_refused',
  'policy_loaded',
  'policy_refused',
  'poa_redeemed',
  'poa_redemption_outcome',
  'poa_redemption_refused',
  'poa_single_use_replay_blocked',
  'poa_given_back',
  'poa_unmandated_low_risk',
  'guardrail_blocked',
  'poa_stopped',
  'poa_lift_proposed',
  'poa_stop_lifted',
] as const;

export type AuditEventType = (typeof AUDIT_EVENT_TYPES)[number];

export interface AuditEvent {
  /** Derived from the workflow and the fact, so that a retried write changes nothing. */
  readonly id: string;
  readonly type: AuditEventType;
  readonly time: Date;
  readonly requestId: string | null;
  /** Who did it: a SPIFFE ID, or null where nobody could be authenticated. */
  readonly actor: string | null;
  /** The agent that the mandate is for. */
  readonly subject: string | null;
  readonly action: string | null;
  readonly tier: Tier | null;
  readonly reasons: readonly string[];
  /** What else this type of event tells. */
  readonly data: JsonObject;
}

/** An event as it was stored: `seq` is its place in the log. */
export interface StoredAuditEvent extends AuditEvent {
  readonly seq: number;
}
