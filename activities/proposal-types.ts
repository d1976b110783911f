import type { ErrorCode } from '../domain/error';
import type { EscalationRung } from '../domain/policy';
import type { DeliveredPolicy, ProposalEnd } from '../domain/ports';
import type { ProposalState, Proposed, RecordedSignOff, SignOffStep } from '../domain/proposal';

/** A proposal as it was sent: what is proposed, and the statement by which it is. */
export interface ProposalSubmission {
  readonly id: string;
  readonly proposed: Proposed;
  readonly statement: string;
}

/** A word on a proposal: the statement, a compact JWS. */
export type SignOffInput = ProposalSubmission;

/** Where a proposal stands by the words that count. */
export interface ProposalStanding {
  readonly effect: 'wait' | 'approved' | 'rejected';
  readonly author: string;
  /** `proposalDigest` of what was recorded. */
  readonly digest: string;
  readonly words: readonly RecordedSignOff[];
  readonly outstanding: readonly SignOffStep[];
  readonly waitingOn: readonly string[];
  readonly escalation: readonly EscalationRung[];
  readonly expiresAfterSeconds: number;
  readonly validSeconds: number | null;
  readonly noticeSeconds: number;
  readonly policyRevision: string;
}

export interface Refused {
  readonly effect: 'refused';
  readonly code: ErrorCode;
  readonly message: string;
  readonly reasons: readonly string[];
}

export type ProposalConclusion =
  /** Something that counted does not any more. */
  | { readonly state: 'wait'; readonly standing: ProposalStanding }
  | {
      readonly state: ProposalEnd;
      readonly standing: ProposalStanding;
      /** Epoch seconds; null: for good. */
      readonly validUntil: number | null;
      /** Proposals that may be in force no more by it. Histories from before this have none. */
      readonly supersedes?: readonly string[];
    };

export type ConnectorForce = Extract<ProposalState, 'approved' | 'replaced' | 'retired'>;

export interface ProposalEnding {
  readonly id: string;
  readonly proposed: Proposed;
  readonly state: Exclude<ProposalEnd, 'approved'>;
  readonly reasons: readonly string[];
}

export interface ProposalRung {
  readonly id: string;
  readonly proposed: Proposed;
  readonly rung: number;
  readonly roles: readonly string[];
}

export interface ProposalSignal {
  readonly id: string;
  readonly proposed: Proposed;
  /** The how manieth it is. */
  readonly position: number;
  /** The signal's name: whatever its sender made of it. */
  readonly signal: string;
}

/** One side-effecting, idempotent step each. What cannot be reached is thrown as a retryable failure. */
export interface ProposalActivities {
  /** Verifies who proposes, asks policy and records the proposal. */
  propose(input: ProposalSubmission): Promise<ProposalStanding | Refused>;
  /** Verifies a word, asks policy whether it counts and records it; what does not count is recorded as refused. */
  signOff(input: SignOffInput): Promise<ProposalStanding | Refused>;
  /** Believes no history: verifies everything again, records the approval, and with it puts in force what was approved. */
  concludeProposal(input: { readonly id: string }): Promise<ProposalConclusion>;
  /** Records an end without approval; answers the end that it has. */
  endProposal(input: ProposalEnding): Promise<ProposalEnd>;
  /** Records a rung of the escalation ladder and tells its people. */
  escalateProposal(input: ProposalRung): Promise<void>;
  /** Records a signal: nothing of a proposal is said by one. */
  recordProposalSignal(input: ProposalSignal): Promise<void>;
  /** Whether an approved connector is in force still, and why not. */
  connectorInForce(input: { readonly id: string; readonly name: string }): Promise<ConnectorForce>;
  /** Rung 0: tells that the time of what is in force is soon over; rung 1: records that it is. */
  lapseProposal(input: ProposalRung): Promise<void>;
}

export interface PolicyActivities {
  /** Throws `policy_not_approved` where Security did not approve exactly this policy. */
  admitPolicy(delivered: DeliveredPolicy): Promise<void>;
}
