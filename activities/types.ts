import type { ListedStop, StopAnswer, StopListing, StopRequest } from '../domain/stop';
import type { ErrorCode, Fault } from '../domain/error';
import type { IdentityEvidence, PoaRequest, ToApprove } from '../domain/mandate-request';
import type {
  EscalationRung,
  Outstanding,
  Polling,
  Priority,
  Requirement,
  Tier,
  TierRaise,
} from '../domain/policy';
import type {
  Introspection,
  IntrospectionRequest,
  Revocation,
  RevocationRequest,
} from '../domain/mandate-lifecycle';
import type {
  ReviewClosed,
  ReviewClosing,
  ReviewForCaller,
  ReviewListing,
} from '../domain/break-glass-review';
import type { DigestPeriod } from '../domain/digest-plan';
import type { TokenExchange, TokenExchangeRequest } from '../domain/token-exchange';
import type { Recollection } from '../domain/recollection';
import type { VelocityLimit, VelocityRoom } from '../domain/velocity';
import type { Removal } from '../domain/retention';
import type { Ended, RecordedVerdict } from '../domain/request-status';

/** What policy says of a request that it does not deny, with what people are asked to sign. */
export interface Assessment {
  readonly agent: string;
  readonly tier: Tier;
  readonly policyRevision: string;
  readonly requirement: Requirement;
  readonly outstanding: Outstanding;
  readonly waitingOn: readonly string[];
  readonly eligibleApprovers: readonly string[];
  readonly priority: Priority;
  readonly escalation: readonly EscalationRung[];
  /** When those who are awaited are reminded, seconds after they were asked. */
  readonly reminders?: readonly number[];
  readonly expiresAfterSeconds: number;
  readonly collectWithinSeconds: number;
  /** Absent in what was assessed before policy said it. */
  readonly polling?: Polling;
  readonly toApprove: ToApprove;
  /** Why the tier is higher than the catalogue's; absent where it is not. */
  readonly raises?: readonly TierRaise[];
}

export interface Denial {
  readonly effect: 'deny';
  readonly agent: string | null;
  readonly tier: Tier | null;
  readonly policyRevision: string | null;
  readonly code: ErrorCode;
  readonly reasons: readonly string[];
  /** What is wrong with the request itself, each with its place. */
  readonly faults?: readonly Fault[];
}

export type Admission = { readonly effect: 'issue' | 'require'; readonly assessment: Assessment } | Denial;

export interface AtOnce {
  readonly admission: Admission;
  /** Null where policy does not say issue. */
  readonly issuance: IssuanceOutcome | null;
}

export interface VerdictInput {
  readonly request: PoaRequest;
  /** Statements that were counted before, as received. */
  readonly counted: readonly string[];
  readonly statement: string;
  /** The request is approved already: only a no is looked at. */
  readonly onlyReject?: boolean;
}

export type VerdictOutcome =
  | {
      readonly outcome: 'counted';
      readonly verdict: RecordedVerdict;
      /** Issue: nothing is outstanding any more. */
      readonly effect: 'issue' | 'require';
      readonly assessment: Assessment;
    }
  | { readonly outcome: 'rejected'; readonly verdict: RecordedVerdict }
  | {
      readonly outcome: 'refused';
      readonly code: ErrorCode;
      readonly message: string;
      readonly reasons: readonly string[];
    };

export interface IssuanceInput {
  readonly request: PoaRequest;
  readonly statements: readonly string[];
  /** Who takes the mandate, as proven now; the mandate is bound to this certificate. */
  readonly collector: IdentityEvidence;
}

export type IssuanceOutcome =
  | {
      readonly outcome: 'issued';
      readonly mandate: string;
      readonly jti: string;
      readonly expiresAt: number;
      readonly tier: Tier;
      readonly policyRevision: string;
    }
  /** Something that was there is missing now; `kept` are the statements that still count. */
  | { readonly outcome: 'outdated'; readonly assessment: Assessment; readonly kept: readonly string[] }
  | { readonly outcome: 'denied'; readonly denial: Denial }
  /** The caller's fault: the request stands as before. */
  | {
      readonly outcome: 'refused';
      readonly code: ErrorCode;
      readonly message: string;
      /** Epoch seconds: when trying again makes sense. */
      readonly retryAt?: number;
    };

export interface ReclassificationInput {
  readonly request: PoaRequest;
  readonly agent: string;
  readonly statements: readonly string[];
  /** False where it was approved. */
  readonly waited: boolean;
  /** The roles that were awaited, which were told; absent from what an earlier version of the workflow hands over. */
  readonly waitingOn?: readonly string[];
}

/** Where a request stands under another policy; `kept` are the statements that still count. */
export type Reclassification =
  | {
      readonly outcome: 'required' | 'met';
      readonly assessment: Assessment;
      readonly kept: readonly string[];
    }
  | { readonly outcome: 'denied'; readonly denial: Denial };

export interface ReassessmentInput {
  readonly request: PoaRequest;
  readonly statements: readonly string[];
}

/** Where a request that waits stands now; null where nothing that people could be told changed. */
export type Reassessment = Exclude<Reclassification, { readonly outcome: 'denied' }> | null;

export interface ClosingInput {
  readonly request: PoaRequest;
  readonly agent: string | null;
  readonly tier: Tier | null;
  readonly state: Ended['state'];
  /** Who ended it, or null where time or an operator did. */
  readonly actor: string | null;
  readonly code: ErrorCode;
  readonly reasons: readonly string[];
}

export interface EscalationInput {
  readonly request: PoaRequest;
  readonly agent: string;
  readonly tier: Tier;
  /** 0 when the request starts to wait, then 1 for the first rung. */
  readonly rung: number;
  readonly roles: readonly string[];
  /** Epoch seconds: when the request started to wait; a new wait is a new notification. */
  readonly pendingSince: number;
}

export interface RejectedSignalInput {
  readonly request: PoaRequest;
  /** Distinguishes signals of one request. */
  readonly position: number;
  readonly signal: string;
  readonly code: ErrorCode;
  readonly message: string;
}

export interface WithdrawalInput {
  readonly agent: string;
  readonly caller: IdentityEvidence;
}

export interface RetentionInput {
  /** The run and its round: what it removes is one fact. */
  readonly run: string;
  readonly removals: readonly Removal[];
}

/** One side-effecting, idempotent step each. What cannot be reached is thrown as a retryable failure. */
export interface Activities {
  /** Validates the requester's SVID, evaluates policy and records the request. */
  admitRequest(request: PoaRequest): Promise<Admission>;
  /** Both steps of a request that needs no people, in one: admission, and the signing step where policy says issue. */
  issueAtOnce(request: PoaRequest): Promise<AtOnce>;
  /** Verifies a verdict, asks policy whether it counts and records it; what does not count is recorded as refused. */
  recordVerdict(input: VerdictInput): Promise<VerdictOutcome>;
  /** The signing step: believes no history, verifies everything again, records, then signs. Once a request. */
  issueMandate(input: IssuanceInput): Promise<IssuanceOutcome>;
  /** Records a request's end; answers another where the log has another. False where it has no such request. Earlier
   *  versions answered false where a mandate was issued, and a denial where a recorded no ended it. */
  closeRequest(input: ClosingInput): Promise<boolean | Recollection | Denial>;
  /** Records a rung of the escalation ladder and tells its people. */
  escalate(input: EscalationInput): Promise<void>;
  /** Reminds those who are awaited, half-way to the next rung. */
  remind(input: EscalationInput): Promise<void>;
  /** Asks another policy about a request that waits: keeps what still counts, asks for what is missing, or denies. Null
   *  where its mandate, or its end, was recorded before. */
  reclassify(input: ReclassificationInput): Promise<Reclassification | null>;
  /** Asks policy again who may approve a request that waits: a rung was climbed, or a day has passed. */
  reassess(input: ReassessmentInput): Promise<Reassessment>;
  /** Records a signal that is no sealed, signed verdict: a security event. */
  recordRejectedSignal(input: RejectedSignalInput): Promise<void>;
  /** Checks that the caller is the requesting agent; answers null, or the refusal. */
  confirmCaller(
    input: WithdrawalInput,
  ): Promise<{ readonly code: ErrorCode; readonly message: string } | null>;
  revokeMandate(request: RevocationRequest): Promise<Revocation>;
  /** How long a period of digests is; null where nobody wants one. */
  digestPeriodSeconds(): Promise<number | null>;
  /** Tells the teams that are Informed what was issued in a period, once. */
  tellInformed(period: DigestPeriod): Promise<'told'>;
  /** What is stopped now. */
  listStops(listing: StopListing): Promise<readonly ListedStop[]>;
  /** The reviews of broken glasses that the caller's team is Accountable for. */
  openReviews(listing: ReviewListing): Promise<readonly ReviewForCaller[]>;
  /** Closes such a review by a signed word; answers the refusal. */
  closeReview(closing: ReviewClosing): Promise<ReviewClosed>;
  /** Stops an agent, a connector, a request or everything, or lifts that; over a person's own signature. */
  orderStop(request: StopRequest): Promise<StopAnswer>;
  /** Gives an agent that a platform vouches for a token of ours. Throws the refusal. */
  exchangeToken(request: TokenExchangeRequest): Promise<TokenExchange>;
  /** How velocity limits stand now. */
  roomOf(limits: readonly VelocityLimit[]): Promise<readonly VelocityRoom[]>;
  /** What is older than its store keeps it. */
  planRetention(): Promise<readonly Removal[]>;
  /** Records what is removed, then removes it. */
  applyRetention(input: RetentionInput): Promise<void>;
  introspectMandate(request: IntrospectionRequest): Promise<Introspection>;
  /** Where a request ended, by the audit log alone; null where that has none. */
  recollect(requestId: string): Promise<Recollection | null>;
}
