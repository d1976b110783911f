import type { AuditEvent, StoredAuditEvent } from './audit-event';
import type { Change, ChangeAction, ChangePlan } from './change';
import type { ConsultationDecision, ConsultationInput } from './consultation';
import type { Contact } from './contacts';
import type { IdentityAnswer, IdentityQuestion, TrustedIssuer } from './identity-mapping';
import type { IncidentDecision, IncidentInput } from './incident';
import type { WatchedEvent, WatchPlan } from './incident-watch';
import type { JsonObject } from './json';
import type { DigestPlan, IssuedCount, WorkCount } from './digest-plan';
import type { ReviewDecision, ReviewQuestion } from './break-glass-review';
import type { MandateClaims, ReversalClaims } from './mandate';
import type { DeputiesQuestion, PolicyDecision, PolicyInput, Principal } from './policy';
import type { ProposalKind, Proposed, SignedSignOff, SignOffDecision, SignOffInput } from './proposal';
import type { RedemptionDecision, RedemptionInput } from './redemption';
import type { LiftProposal, ListedStop, StopDecision, StopInput, StopTarget } from './stop';
import type { TicketFact } from './ticket';
import type { SignedRequest } from './signed-request';
import type { SignedVerdict } from './verdict';
import type { VelocityLimit, VelocityStanding } from './velocity';

/** Tells the time, so that what depends on it can be tested. */
export type Clock = () => Date;

/** Evaluates the one policy. Throws `policy_unavailable`: whoever cannot ask refuses. */
export interface PolicyEngine {
  readonly revision: string;
  decide(input: PolicyInput): Promise<PolicyDecision>;
  principal(id: string): Promise<Principal>;
  /** Who stands in today for people of some roles who are away. */
  deputies(question: DeputiesQuestion): Promise<readonly string[]>;
  /** Whose token it is that another issuer gave. */
  identity(question: IdentityQuestion): Promise<IdentityAnswer>;
  /** Once more, on the live request, when a mandate is redeemed. */
  redemption(input: RedemptionInput): Promise<RedemptionDecision>;
  /** Whether somebody may stop or lift. */
  stop(input: StopInput): Promise<StopDecision>;
  /** Where a proposal stands by its words. */
  signOff(input: SignOffInput): Promise<SignOffDecision>;
  /** Who is told from time to time of what was issued. */
  digest(): Promise<DigestPlan>;
  /** How teams are reached. */
  contacts(): Promise<ReadonlyMap<string, Contact>>;
  /** Whether somebody may close the review of a broken glass. */
  review(question: ReviewQuestion): Promise<ReviewDecision>;
  /** Which events of the audit log open incidents. */
  incidentWatch(): Promise<WatchPlan>;
  /** How grave an incident is and whom its ladder tells, or whether a word on it counts. */
  incident(input: IncidentInput): Promise<IncidentDecision>;
  /** Who works on something, and who is asked about it; or whether an answer counts (RACI). */
  consultation(input: ConsultationInput): Promise<ConsultationDecision>;
  /** When changes are looked at, and who hears of them. */
  changePlan(): Promise<ChangePlan>;
  /** For one step, of a request where there is one: its answers are all of one revision. It throws `policy_unavailable` rather than mix two. */
  snapshot(requestId?: string): PolicyEngine;
  /** Tells of another policy, until the returned function is called. */
  onChange(listener: (change: PolicyChange) => void): () => void;
}

/** Something that counts once: for the request it first came with, and for no other. */
export interface OneTimeProof {
  /** Says what it is and whose: `request/<signer>/<jti>`. */
  readonly key: string;
  /** With what it counts, beside its request; with another it does not. */
  readonly boundTo?: string;
  /** Too old to be taken from then on, so that it need not be remembered longer. */
  readonly expiresAt: Date;
}

/** Another policy was loaded, or refused: then `revision` is the one that stays. */
export type PolicyChange =
  | { readonly change: 'loaded'; readonly revision: string; readonly previous: string }
  | {
      readonly change: 'refused';
      readonly revision: string;
      readonly code: 'policy_bundle_refused' | 'policy_not_approved';
      readonly reason: string;
    };

/** A policy that somebody wants to decide. */
export interface DeliveredPolicy {
  readonly revision: string;
  /** Base64url SHA-256 over everything in its bundle but the signature. */
  readonly digest: string;
}

/** Says which policy may decide. */
export interface PolicyGate {
  /** Throws `policy_not_approved`; `judge` is the policy that decides until then, at a start the delivered one itself. */
  admit(delivered: DeliveredPolicy, judge: PolicyEngine): Promise<void>;
}

/** An admitted request, as the database remembers it whatever a workflow's history says. */
export interface RequestEntry {
  readonly requestId: string;
  readonly subject: string;
  /** Base64url SHA-256 of the RFC 8785 form of what was asked. */
  readonly askedDigest: string;
  /** Until when it counts as pending at the most; null where nobody has to be waited for. */
  readonly pendingUntil: Date | null;
  /** What was used up by asking; not read back. */
  readonly proofs?: readonly OneTimeProof[];
}

/** A verdict's receipt. What is read back is what its audit event says; see `RequestRecord`. */
export interface VerdictEntry {
  readonly jti: string;
  readonly requestId: string;
  /** Base64url SHA-256 of the compact JWS. */
  readonly statementDigest: string;
  readonly by: string;
  readonly receivedAt: Date;
}

/** A verdict's receipt as its audit event tells it. */
export interface ReceivedVerdict extends VerdictEntry {
  /** The compact JWS, where it says no. */
  readonly no?: string;
}

export interface MandateEntry {
  readonly requestId: string;
  readonly jti: string;
  readonly claims: MandateClaims;
  /** Everybody whom the claims are about: they are gone with the first of them that is erased. */
  readonly about: readonly string[];
  /** What was used up by collecting. */
  readonly proofs?: readonly OneTimeProof[];
}

export type RecordedMandate = Pick<MandateEntry, 'jti' | 'claims'>;

/** A reversal mandate, signed. It is kept for the broker: nobody else may redeem it. */
export interface KeptReversal {
  readonly claims: ReversalClaims;
  /** The compact JWS. */
  readonly mandate: string;
}

/** A stop that is in force, and who wants it lifted since. */
export interface StandingStop {
  readonly stoppedAt: Date;
  readonly lifts: readonly LiftProposal[];
}

/** What is stopped, for all processes. Each write has its event, both or neither. Throws `audit_unavailable`. */
export interface Stops {
  /** Stops; what is stopped already stays so, and its lifting has to be asked for anew by nobody. */
  stop(target: StopTarget, event: AuditEvent): Promise<void>;
  /** Null where it is not stopped. */
  standing(target: StopTarget): Promise<StandingStop | null>;
  /** All that is stopped, the latest first, up to a number. */
  list(limit: number): Promise<readonly ListedStop[]>;
  /** Remembers that somebody wants it lifted, as of when they said so. */
  proposeLift(target: StopTarget, lift: LiftProposal, event: AuditEvent): Promise<void>;
  /** Lifts the stop that began then; a later one stays. */
  lift(target: StopTarget, stoppedAt: Date, event: AuditEvent): Promise<void>;
  /** The incidents by which this was stopped, from then on. */
  incidentsOf(target: StopTarget, since: Date): Promise<readonly string[]>;
  /** Who lifted a stop of this first, from then on; null where nobody did. An actor who was erased is null. */
  liftedSince(
    target: StopTarget,
    since: Date,
  ): Promise<{ readonly by: string | null; readonly at: Date } | null>;
  /** What is stopped of this request, its agent and everything, and every tier that is. */
  against(use: { readonly requestId: string; readonly agent: string }): Promise<readonly StopTarget[]>;
  /** Records an event that establishes nothing. */
  append(event: AuditEvent): Promise<void>;
}

/** All that the signing step needs to know of a request, read at one instant. */
export interface RequestRecord {
  /** Without its digest where somebody whom it is about was erased: nothing is it any more. */
  readonly request: (Omit<RequestEntry, 'askedDigest'> & { readonly askedDigest: string | null }) | null;
  /** When it was asked, by its audit event; null where there is none. */
  readonly requestedAt: Date | null;
  readonly closed: boolean;
  /** Those whose audit event tells the same in every particular: the log is sealed, a table beside it is not. */
  readonly verdicts: readonly ReceivedVerdict[];
  /** The rungs of the escalation ladder that it climbed, by their audit events, in their order. */
  readonly rungs: readonly { readonly rung: number; readonly climbedAt: Date }[];
  /** Without its claims where somebody whom they are about was erased. */
  readonly mandate: RecordedMandate | { readonly jti: string; readonly claims: null } | null;
}

/** The velocity limit that is reached; of several the one that opens last. */
export interface Exceeded {
  readonly exceeded: VelocityStanding;
}

export interface PendingCaps {
  readonly perAgent: number;
  readonly total: number;
}

export interface AuditFilter {
  readonly requestId?: string;
  readonly type?: string;
  readonly afterSeq?: number;
  readonly limit: number;
}

/**
 * The durable record: audit events and what they establish, written together or not at all. Every write is
 * insert-once: repeating it changes nothing and answers what the first one wrote. Throws `audit_unavailable`, and
 * `proof_replayed` where a proof was used for another request before.
 */
export interface Ledger {
  /** Records a request and its event; refuses above the caps (attack 12). Two at once cannot both take the last place. */
  admit(entry: RequestEntry, event: AuditEvent, caps: PendingCaps): Promise<'admitted' | 'too_many_pending'>;
  /** Records a verdict; answers the first entry under that `jti`, which may be another's. */
  recordVerdict(entry: VerdictEntry, event: AuditEvent): Promise<VerdictEntry>;
  /** Records the mandate that is about to be signed, and counts it towards its limits; answers the request's one
   *  mandate, which may be an earlier one: that counts once. Refuses with `request_finished` a request that was closed
   *  before; above a limit it answers that limit, and nothing is recorded or counted. */
  recordMandate(
    entry: MandateEntry,
    event: AuditEvent,
    limits: readonly VelocityLimit[],
  ): Promise<RecordedMandate | Exceeded>;
  /** Keeps a reversal mandate for the broker, beside the mandate that it reverses. The same again changes nothing. */
  keepReversal(reversal: KeptReversal): Promise<void>;
  /** How the limits stand at a moment; takes nothing. */
  velocityOf(limits: readonly VelocityLimit[], at: Date): Promise<readonly VelocityStanding[]>;
  /** Records a request's end without a mandate; false where a mandate was recorded before. */
  close(requestId: string, event: AuditEvent): Promise<boolean>;
  /** Records a revocation. */
  revoke(jti: string, event: AuditEvent): Promise<void>;
  /** Records an event that establishes nothing else. */
  append(event: AuditEvent): Promise<void>;
  recordOf(requestId: string): Promise<RequestRecord>;
  /** Requests that people were asked about and that have no end yet, the newest first. */
  openRequests(limit: number): Promise<readonly Pick<RequestEntry, 'requestId' | 'subject'>[]>;
  isRevoked(jti: string): Promise<boolean>;
  /** How many mandates above the low tier were issued from a moment up to, but without, another. */
  issuedBetween(from: Date, until: Date): Promise<readonly IssuedCount[]>;
  /** What became of incidents, proposals and changes from a moment up to, but without, another; up to a number of kinds. */
  workBetween(from: Date, until: Date, limit: number): Promise<readonly WorkCount[]>;
  /** The events of broken glasses that nobody has reviewed, oldest first. */
  openReviews(limit: number): Promise<readonly StoredAuditEvent[]>;
  /** Events in order of `seq`. */
  events(filter: AuditFilter): Promise<readonly StoredAuditEvent[]>;
}

/** One leaf of the audit log: the RFC 8785 form of an event, in UTF-8. */
export interface AuditLeaf {
  /** Its place, from 0 on, without a gap. */
  readonly index: number;
  readonly leaf: Uint8Array;
}

/** The audit log as a list that only grows. Throws `audit_unavailable`. */
export interface AuditLeaves {
  /** Gives what was recorded by now its place; answers how many leaves there are. */
  size(): Promise<number>;
  /** The leaves from `from` up to, but without, `to`, in order; those that are there. */
  read(from: number, to: number): AsyncIterable<AuditLeaf>;
}

/** What in a sealed log is not written once. */
export type ReplacedPath = 'checkpoint' | 'timestamp';

/** Where a sealed log lies, by the paths of C2SP tlog-tiles. Nothing in it changes but the checkpoint and its time-stamp. */
export interface LogStore {
  /** Null where there is no such thing. Throws `audit_log_malformed` for more than `mostBytes`. */
  read(path: string, mostBytes: number): Promise<Uint8Array | null>;
  /** Writes once, durably; the same again changes nothing. Throws `audit_log_diverged` where something else is there. */
  create(path: string, bytes: Uint8Array): Promise<void>;
  /** Replaces one of these two, durably and as a whole. */
  replace(path: ReplacedPath, bytes: Uint8Array): Promise<void>;
}

/** Where the copy of a sealed log lies that nobody can change or remove before its time: write once, read many. */
export interface WormStore extends Pick<LogStore, 'read'> {
  /** Throws `object_lock_missing` where it would not hold what is put into it. */
  requireLock(): Promise<void>;
  /**
   * Writes once, and answers when the copy was found there, whole, and locked at least until then. Throws
   * `audit_log_diverged` where something else is there, and `object_lock_missing` where it is not locked.
   */
  create(path: string, bytes: Uint8Array, retainUntil: Date): Promise<void>;
  /** Puts a new version on top of those before it, each of which stays for its time. */
  replace(path: ReplacedPath, bytes: Uint8Array, retainUntil: Date): Promise<void>;
}

/** The customer's ticket system. Null means that it knows no such ticket. Throws `ticket_system_unavailable`. */
export interface TicketSystem {
  lookUp(ticket: string): Promise<TicketFact | null>;
}

export interface Notification {
  /** The same notification sent again carries the same id. */
  readonly id: string;
  /** Which template tells it; one that has none of its own is told by the default one. */
  readonly kind: string;
  readonly requestId: string;
  readonly roles: readonly string[];
  /** SPIFFE IDs of those who stand in for people of these roles who are away. */
  readonly deputies?: readonly string[];
  /** In our own words, without anything that an agent wrote. */
  readonly text: string;
  /** What templates may show beside it. Values may be an agent's text: each channel escapes them. */
  readonly facts: Readonly<Record<string, string | number | null>>;
}

/** Takes a notification over, once for each id: when this resolves it will be told, however long a channel is away. */
export interface Notifier {
  notify(notification: Notification): Promise<void>;
}

/** An X.509-SVID that was found valid (SPIFFE X509-SVID §4, §5). */
export interface Svid {
  readonly spiffeId: string;
  /** Base64url SHA-256 of the leaf's DER (RFC 8705 §3.1). */
  readonly x5tS256: string;
  readonly notAfter: Date;
}

/** Validates a chain (base64 DER, leaf first) against the bundle of the leaf's own trust domain. Throws 401 codes. */
export interface SvidValidator {
  validate(chain: readonly string[], at: Date): Svid;
}

/** A token that names a caller, found valid. */
export type CallerToken = {
  readonly spiffeId: string;
  readonly expiresAt: Date;
} & (
  | {
      /** The key it is bound to (RFC 9449 §6.1). */
      readonly jkt: string;
    }
  | {
      /** A JWT-SVID is bound to no key, and so counts once: as what was signed, in whatever spelling it comes. */
      readonly jkt: null;
      readonly digest: string;
    }
);

/** Validates JWT-SVIDs (SPIFFE JWT-SVID §5) and identity tokens of our own. Throws `token_invalid`, or 401 codes. */
export interface CallerTokens {
  verify(token: string, at: Date): Promise<CallerToken>;
}

/** Checks a DPoP proof (RFC 9449 §4.3). Throws `dpop_proof_invalid`. */
export interface DpopVerifier {
  verify(
    proof: string,
    expected: { readonly method: string; readonly url: string; readonly token?: string; readonly now: Date },
  ): { readonly jkt: string; readonly jti: string; readonly expiresAt: Date };
}

/** What an identity token says: this key is that agent's, for a few minutes. */
export interface IdentityTokenClaims {
  readonly iss: string;
  readonly aud: string;
  readonly sub: string;
  readonly iat: number;
  readonly exp: number;
  readonly jti: string;
  readonly cnf: { readonly jkt: string };
}

export interface IdentityTokenSigner {
  sign(claims: IdentityTokenClaims): Promise<string>;
}

/**
 * Verifies the tokens of other issuers (RFC 7519, keys by RFC 7517), as policy says for each. Throws `token_invalid`,
 * and `identity_unavailable` where its keys cannot be had.
 */
export interface IssuerTokens {
  /** `iss` as the token claims it, to find out how to verify it. */
  issuerOf(token: string): string;
  verify(token: string, issuer: string, trusted: TrustedIssuer, at: Date): Promise<JsonObject>;
}

/** Checks form and signature of a signed request. Throws `signed_request_malformed`, `signed_request_invalid`. */
export interface SignedRequestOpener {
  open(compact: string): SignedRequest;
}

/** Checks form and signature of a verdict. Throws `verdict_malformed`, `verdict_signature_invalid`. */
export interface VerdictOpener {
  open(compact: string): Promise<SignedVerdict>;
}

/** Events of the audit log, by their ids; those that it has. Throws `audit_unavailable`. */
export interface WatchedEvents {
  find(ids: readonly string[]): Promise<readonly WatchedEvent[]>;
}

/** Checks form and signature of a sign-off. Throws `verdict_malformed`, `verdict_signature_invalid`. */
export interface SignOffOpener {
  open(compact: string): SignedSignOff;
}

/** A proposal as the database knows it. */
export interface ProposalEntry extends Proposed {
  readonly id: string;
  readonly author: string;
  /** The statement by which it was proposed. */
  readonly statement: string;
  readonly proposedAt: Date;
}

/** A word's receipt. What is read back is what its audit event says. */
export interface SignOffEntry {
  readonly jti: string;
  readonly proposalId: string;
  readonly statement: string;
  readonly by: string;
  readonly receivedAt: Date;
}

export interface ProposalRecord {
  /** Null where no audit event tells the same. */
  readonly proposal: ProposalEntry | null;
  readonly words: readonly SignOffEntry[];
  /** What became of it, once it was decided. */
  readonly end: ProposalEnd | null;
}

export type ProposalEnd = 'approved' | 'denied' | 'rejected' | 'expired' | 'cancelled';

/** A connector that was signed off. */
export interface ActiveConnector {
  readonly name: string;
  /** The digest of its configuration. */
  readonly digest: string;
  readonly proposalId: string;
  readonly validUntil: Date | null;
}

/** Proposals and the words on them, each write insert-once and together with its event. Throws `audit_unavailable`. */
export interface Proposals {
  propose(entry: ProposalEntry, event: AuditEvent): Promise<void>;
  /** Answers the first entry under that `jti`, which may be another's. */
  recordSignOff(entry: SignOffEntry, event: AuditEvent): Promise<SignOffEntry>;
  /** Records what was decided; answers it, which may have been decided otherwise before. */
  conclude(id: string, end: ProposalEnd, event: AuditEvent): Promise<ProposalEnd>;
  /** As `conclude`, approved: the connector is in force with this digest from then on, in place of any other. */
  activate(id: string, connector: ActiveConnector, event: AuditEvent): Promise<ProposalEnd>;
  /** As `conclude`, approved: the connector is in force no more. */
  retire(id: string, name: string, event: AuditEvent): Promise<ProposalEnd>;
  /** Records an event that establishes nothing else. */
  append(event: AuditEvent): Promise<void>;
  recordOf(id: string): Promise<ProposalRecord>;
  /** Those in force. */
  activeConnectors(): Promise<readonly ActiveConnector[]>;
}

/** Which policies were approved. Throws `audit_unavailable`. */
export interface PolicyApprovals {
  /** The revision that the first process of this installation began with; null where none did yet. */
  firstPolicy(): Promise<string | null>;
  /** The proposals of a kind and name that were approved, as row and audit log tell, the newest first. */
  approved(kind: ProposalKind, name: string): Promise<readonly string[]>;
  /** The newest approved `policy_rollout` of a revision that was not delivered in the first's place since; null: none. */
  rolloutOf(revision: string): Promise<string | null>;
}

/** A change that waits for its words or for its window, or an emergency that waits for its review. */
export interface OpenChange {
  readonly id: string;
  readonly state: 'pending' | 'approved' | 'review';
}

/** What the audit log knows of changes: there is no other record of them. Throws `audit_unavailable`. */
export interface Changes {
  /** Records an event; the same id again changes nothing. */
  append(event: AuditEvent): Promise<void>;
  /** Those of the events that were recorded, by their id. */
  eventsOf(ids: readonly string[]): Promise<ReadonlyMap<string, AuditEvent>>;
  /** The oldest first. */
  open(limit: number): Promise<readonly OpenChange[]>;
  /** Those that began and have not ended, or wait for their review, with the word by which they run. */
  unfinished(limit: number): Promise<readonly { readonly id: string; readonly statement: string }[]>;
}

/** A change that nobody else works on meanwhile. */
export interface HeldChange {
  /** Higher each time that the change is held: whoever has seen it refuses a lower one. */
  readonly fence: number;
  /** Aborted before anybody else may hold it. */
  readonly lost: AbortSignal;
  /** Records an event while it is held; afterwards it records nothing. The same id again changes nothing. */
  append(event: AuditEvent): Promise<void>;
}

/** Whoever carries a change out, one at a time, across all processes. Throws `audit_unavailable`. */
export interface ChangeHolds {
  /** Waits while somebody else holds it. Throws `operation_interrupted` where the signal aborts meanwhile. */
  holding<T>(id: string, signal: AbortSignal, work: (held: HeldChange) => Promise<T>): Promise<T>;
}

/** What is changed by one change at a time. Throws `audit_unavailable`. */
export interface ChangeTargets {
  /** Stands in line for all of them at once; answers the change that is ahead, or null where it is this one's turn. */
  take(id: string, targets: readonly string[]): Promise<string | null>;
  /** A change under way that changes one of them, other than this one. */
  takenBy(targets: readonly string[], other: string): Promise<string | null>;
}

/** For which change, and at which share. */
export interface OperationContext {
  readonly change: string;
  readonly percent: number;
  /** That of whoever holds the change. */
  readonly fence: number;
  /** Aborted where this process stops or is not believed alive any more: then what runs is killed. */
  readonly signal: AbortSignal;
}

export interface OperationOutcome {
  readonly good: boolean;
  /** In our words, with the end of what it wrote. */
  readonly detail: string;
  /** Base64url SHA-256 of all that it wrote; null where nothing ran. */
  readonly outputDigest: string | null;
}

/** What may be done to production: an allowlist, by names. */
export interface Operations {
  /** Throws `change_operation_unknown`, `change_parameter_refused` where a change names what is not allowed. */
  require(change: Change): void;
  /** What the change changes, by the names under which operations share it. */
  targets(change: Change): readonly string[];
  /** Whether it may be run again where nobody knows how far it came. */
  isRepeatable(action: ChangeAction): boolean;
  run(action: ChangeAction, context: OperationContext): Promise<OperationOutcome>;
  check(name: string, context: OperationContext): Promise<OperationOutcome>;
}

/** A decoy among the requests. */
export interface ProbeEntry {
  readonly requestId: string;
  /** The agent that seems to ask. */
  readonly subject: string;
  readonly askedDigest: string;
  /** Which request of the proposal it is, from 0: one probe each. */
  readonly turn: number;
  /** The proposal that was signed off for it. */
  readonly proposal: string;
}

/** Probes, and whose verdicts do not count because of one; each write together with its event. Throws `audit_unavailable`. */
export interface Probes {
  /** Throws `evidence_mismatch` where the proposal began another, or a request has this id. */
  begin(entry: ProbeEntry, event: AuditEvent): Promise<void>;
  suspend(person: string, requestId: string, event: AuditEvent): Promise<void>;
  /** Lifts all that suspends a person. */
  lift(person: string, event: AuditEvent): Promise<void>;
  suspended(): Promise<readonly string[]>;
}

/** Checks form, signature, issuer and audience of one of our own mandates, whatever its times. Throws `mandate_invalid`. */
export interface MandateOpener {
  open(compact: string): Promise<MandateClaims>;
}

/** Signs mandates with the one active key; the same claims give the same bytes (RFC 8032 §5.1). */
export interface MandateSigner {
  sign(claims: MandateClaims): Promise<string>;
  /** The paired one, under its own type. */
  signReversal(claims: ReversalClaims): Promise<string>;
}
