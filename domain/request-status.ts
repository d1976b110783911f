import type { ErrorCode, Fault } from './error';
import type { ToApprove } from './mandate-request';
import type { Outstanding, Polling, Requirement, Tier, TierRaise } from './policy';

/** A verdict that was verified and counted, as the request carries it. */
export interface RecordedVerdict {
  readonly jti: string;
  /** The SPIFFE ID of the approver whose key signed it. */
  readonly by: string;
  readonly role: string;
  readonly verdict: 'approve' | 'reject' | 'release';
  readonly reason: string;
  readonly attests: readonly string[];
  /** Epoch seconds, fixed by the audit event. */
  readonly receivedAt: number;
}

/** A store or system that a request waits for before it can go on. */
export interface Interruption {
  readonly code: ErrorCode;
  /** Epoch seconds. */
  readonly since: number;
  readonly nextTryAt: number;
}

interface EveryRequest {
  readonly requestId: string;
  /** Epoch seconds. */
  readonly requestedAt: number;
  readonly act: string;
  readonly ticket: string | null;
  readonly justification: string | null;
}

/** What policy has decided about a request so far. */
export interface Assessed extends EveryRequest {
  readonly agent: string;
  readonly tier: Tier;
  readonly policyRevision: string;
  readonly requirement: Requirement;
  readonly toApprove: ToApprove;
  /** Absent in what was assessed before policy said it. */
  readonly polling?: Polling;
  readonly verdicts: readonly RecordedVerdict[];
  /** Why the tier is higher than the catalogue's; absent where it is not. */
  readonly raises?: readonly TierRaise[];
}

/** Accepted; identity and policy are not looked at yet, or cannot be (see `interruption`). */
export interface Received extends EveryRequest {
  readonly state: 'pending';
  readonly assessed: false;
  readonly interruption: Interruption | null;
}

/** Waits for people. All times are epoch seconds. */
export interface Pending extends Assessed {
  readonly state: 'pending';
  readonly assessed: true;
  readonly outstanding: Outstanding;
  readonly waitingOn: readonly string[];
  readonly eligibleApprovers: readonly string[];
  readonly pendingSince: number;
  readonly expiresAt: number;
  /** The next rung of the escalation ladder, or null when only expiry is left. */
  readonly nextRung: { readonly at: number; readonly roles: readonly string[] } | null;
  readonly interruption: Interruption | null;
}

/** The requirement is met: the agent may collect until `approvedUntil` (epoch seconds). */
export interface Approved extends Assessed {
  readonly state: 'approved';
  readonly approvedUntil: number;
}

export interface Issued extends Assessed {
  readonly state: 'issued';
  /** Absent where the answer that had it was lost, and nobody came again: the log tells the rest. */
  readonly mandate?: string;
  readonly jti: string;
  /** Epoch seconds. */
  readonly expiresAt: number;
}

/** Over without a mandate; `code` is the first reason, `reasons` are all. */
export interface Ended extends EveryRequest {
  readonly state: 'denied' | 'rejected' | 'withdrawn' | 'expired' | 'cancelled';
  /** Null where the request ended before its agent was known for certain. */
  readonly agent: string | null;
  readonly tier: Tier | null;
  readonly policyRevision: string | null;
  readonly code: ErrorCode;
  readonly reasons: readonly string[];
  /** What policy found wrong with the request itself, each with its place. */
  readonly faults?: readonly Fault[];
  readonly verdicts: readonly RecordedVerdict[];
  /** Epoch seconds: when asking anew makes sense, where that is known. */
  readonly retryAt?: number;
}

/** Where a request stands: the answer of the workflow's query, of its updates, and its result. */
export type RequestStatus = Received | Pending | Approved | Issued | Ended;

/** True when nothing that anybody does can change the request any more. */
export function isFinal(status: RequestStatus): status is Issued | Ended {
  return status.state !== 'pending' && status.state !== 'approved';
}

/** An update's answer: the new standing, or the refusal that changed nothing. */
export type Answer =
  | { readonly done: true; readonly status: RequestStatus }
  | {
      readonly done: false;
      readonly code: ErrorCode;
      readonly message: string;
      readonly reasons: readonly string[];
      /** Epoch seconds: when trying again makes sense. */
      readonly retryAt?: number;
    };
