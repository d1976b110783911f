import { AtbError } from './error';
import { isJsonObject } from './json';
import type { Json, JsonObject } from './json';
import type { EscalationRung, VerdictJudgement } from './policy';
import type { WordAnswer } from './word-answer';

/** What people sign off: operating model §2.4, §2.3, §7. Policy says for each who has to (data: sign_offs). */
export const PROPOSAL_KINDS = [
  ...([
    'connector',
    'connector_retirement',
    'policy_bundle',
    'policy_rollout',
    'change',
    'emergency_change',
  ] as const),
  ...(['probe', 'suspension_lift'] as const),
] as const;
export type ProposalKind = (typeof PROPOSAL_KINDS)[number];

/** Operating model §7: by way of the CAB, or by on-call where it cannot wait for it. */
export const CHANGE_KINDS = ['change', 'emergency_change'] as const;
export type ChangeKind = (typeof CHANGE_KINDS)[number];

export const SIGN_OFF_TYP = 'atb-sign-off+jwt';

/** What is proposed: every word is signed over the digest of exactly this. */
export interface Proposed {
  readonly kind: ProposalKind;
  /** A connector's id, a bundle's revision, a change's short name. */
  readonly name: string;
  readonly content: JsonObject;
}

/** The claims of a sign-off: what a person signs with the key of their own SVID (`typ` "atb-sign-off+jwt"). */
export interface SignOffClaims {
  /** The proposal's id; of the one who proposes, what `proposalSubject` gives. */
  readonly on: string;
  /** `proposalDigest`. */
  readonly dig: string;
  /** Which of the steps that policy names this is a word on; `propose` is the first of all. */
  readonly step: string;
  readonly verdict: 'approve' | 'reject';
  /** The role in which the person speaks. */
  readonly role: string;
  readonly reason: string;
  /** NumericDate, RFC 7519 §2. */
  readonly iat: number;
  readonly jti: string;
}

/** A sign-off whose signature verifies with the key of the certificate that it carries; that certificate is not judged yet. */
export interface SignedSignOff {
  readonly claims: SignOffClaims;
  /** `x5c` (RFC 7515 §4.1.6), leaf first, base64 DER. */
  readonly chain: readonly string[];
}

/** The step by which something is proposed. */
export const PROPOSE = 'propose';

const NAME = /^[a-z0-9][a-z0-9_-]{0,62}$/;

/** What whoever proposes signs as `on`: the proposal has no id before. */
export function proposalSubject({ kind, name }: Pick<Proposed, 'kind' | 'name'>): string {
  return `${kind}.${name}`;
}

/** Reads what is proposed. Throws `proposal_malformed`. */
export function parseProposed(value: Json | undefined): Proposed {
  if (!isJsonObject(value)) throw malformed('it is no object');
  const { kind: text, name, content, ...unknown } = value;
  const [more] = Object.keys(unknown);
  if (more !== undefined) throw malformed(`it has ${more}, which does not belong there`);
  const kind = PROPOSAL_KINDS.find((known) => known === text);
  if (kind === undefined) throw malformed(`its kind is none of ${PROPOSAL_KINDS.join(', ')}`);
  if (typeof name !== 'string' || !NAME.test(name)) throw malformed('its name is not 1 to 63 of a-z 0-9 _ -');
  if (!isJsonObject(content)) throw malformed('its content is no object');
  return { kind, name, content };
}

function malformed(why: string): AtbError {
  return new AtbError('proposal_malformed', `the proposal is malformed: ${why}`);
}

/** A signature-verified word, as policy is told of it. Times are epoch seconds. */
export interface SignOffFact {
  readonly jti: string;
  readonly by: string;
  /** Base64url SHA-256 of the certificate that it was signed with. */
  readonly certificate: string;
  readonly step: string;
  readonly verdict: 'approve' | 'reject';
  readonly role: string;
  readonly reasoned: boolean;
  readonly issuedAt: number;
  readonly receivedAt: number;
}

/** How many probes a proposal orders, and when. */
export interface ProbeSchedule {
  readonly probes: number;
  /** How long after its approval the first begins. */
  readonly afterSeconds: number;
  /** Each of the others begins at a random moment of its own such period; null where there is one only. */
  readonly everySeconds: number | null;
}

/** What policy is asked about a proposal. */
export interface SignOffInput {
  /** `change_word`: a word on a change that was signed off, to run it, to abort it, or to review it. */
  readonly kind: ProposalKind | 'change_word';
  /** The word by which it was proposed; its signer is the author. */
  readonly proposing: SignOffFact;
  /** In order of receipt. */
  readonly words: readonly SignOffFact[];
  /** People whose word counts for nothing at the moment (SPIFFE IDs). */
  readonly suspended: readonly string[];
  /** Null unless it is of probes. */
  readonly schedule: ProbeSchedule | null;
  /** Epoch seconds. */
  readonly now: number;
}

export interface SignOffStep {
  readonly name: string;
  readonly title: string;
  readonly roles: readonly string[];
}

/** Where a proposal stands by its words. */
export interface SignOffDecision {
  readonly effect: 'wait' | 'approved' | 'rejected' | 'deny';
  /** Why nobody may sign it off at all. */
  readonly reasons: readonly string[];
  /** By `jti`. */
  readonly words: Readonly<Record<string, VerdictJudgement>>;
  /** Steps that nobody has signed yet, in their order. */
  readonly outstanding: readonly SignOffStep[];
  /** Roles that may take one of the steps that are due now. */
  readonly waitingOn: readonly string[];
  readonly escalation: readonly EscalationRung[];
  readonly expiresAfterSeconds: number;
  /** For how long it holds once it is signed off; null: for good. */
  readonly validSeconds: number | null;
  /** How long before that end people are told. */
  readonly noticeSeconds: number;
  readonly policyRevision: string;
}

/** The input in the words of the Rego rules. */
export function signOffInputJson(input: SignOffInput): JsonObject {
  const { kind, proposing, words, suspended, schedule, now } = input;
  return {
    kind,
    proposing: signOffFactJson(proposing),
    words: words.map(signOffFactJson),
    suspended,
    schedule: schedule && {
      probes: schedule.probes,
      after_seconds: schedule.afterSeconds,
      every_seconds: schedule.everySeconds,
    },
    now,
  };
}

/** A word in the terms of the Rego rules. */
export function signOffFactJson({ issuedAt, receivedAt, ...word }: SignOffFact): JsonObject {
  return { ...word, issued_at: issuedAt, received_at: receivedAt };
}

/** Reads an answer of `atb/sign_off/decision`. Throws `policy_unavailable` where it is not of the form. */
export function parseSignOffDecision(value: unknown): SignOffDecision {
  const decision = object(value);
  const { effect } = decision;
  if (effect !== 'wait' && effect !== 'approved' && effect !== 'rejected' && effect !== 'deny')
    return unreadable();
  return {
    effect,
    reasons: texts(decision.reasons),
    words: Object.fromEntries(
      Object.entries(object(decision.words)).map(([jti, judgement]) => {
        const { counts, reasons } = object(judgement);
        return [
          jti,
          { counts: typeof counts === 'boolean' ? counts : unreadable(), reasons: texts(reasons) },
        ];
      }),
    ),
    outstanding: list(decision.outstanding).map((step) => {
      const { name, title, roles } = object(step);
      return { name: text(name), title: text(title), roles: texts(roles) };
    }),
    waitingOn: texts(decision.waiting_on),
    escalation: list(decision.escalation).map((rung) => {
      const { after_seconds, roles } = object(rung);
      return { afterSeconds: seconds(after_seconds), roles: texts(roles) };
    }),
    expiresAfterSeconds: seconds(decision.expires_after_seconds),
    validSeconds: decision.valid_seconds === null ? null : seconds(decision.valid_seconds),
    noticeSeconds: seconds(decision.notice_seconds),
    policyRevision: text(decision.policy_revision),
  };
}

function object(value: unknown): JsonObject {
  return isJsonObject(value) ? value : unreadable();
}

function list(value: unknown): readonly Json[] {
  return Array.isArray(value) ? (value as readonly Json[]) : unreadable();
}

function texts(value: unknown): readonly string[] {
  return list(value).map(text);
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : unreadable();
}

function seconds(value: unknown): number {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : unreadable();
}

function unreadable(): never {
  throw new AtbError('policy_unavailable', 'policy answered without a proper decision on signing off');
}

/** A word that counted, as it is shown. */
export interface RecordedSignOff {
  readonly step: string;
  readonly verdict: 'approve' | 'reject';
  readonly by: string;
  readonly role: string;
  readonly reason: string;
  /** Epoch seconds. */
  readonly receivedAt: number;
  readonly jti: string;
}

/**
 * `approved` is in force; of what holds for a time, until its `endsAt`. A connector's is in force no more where another was
 * signed off in its place (`replaced`), where the connector was retired, and where its time is over (`lapsed`).
 */
export const PROPOSAL_STATES = [
  ...(['pending', 'approved', 'denied', 'rejected', 'expired', 'cancelled'] as const),
  ...(['replaced', 'retired', 'lapsed'] as const),
] as const;
export type ProposalState = (typeof PROPOSAL_STATES)[number];

/** Where a proposal stands. Times are epoch seconds. */
export interface ProposalStatus extends Proposed {
  readonly id: string;
  /** `proposalDigest`; null before it was looked at. */
  readonly digest: string | null;
  readonly author: string | null;
  readonly proposedAt: number;
  readonly state: ProposalState;
  readonly words: readonly RecordedSignOff[];
  readonly outstanding: readonly SignOffStep[];
  readonly waitingOn: readonly string[];
  /** When it expires while it waits, or lapses once it is in force; null where time does nothing more to it. */
  readonly endsAt: number | null;
  readonly policyRevision: string | null;
  readonly reasons: readonly string[];
}

/** What came of a word that was sent. */
export type SignOffAnswer = WordAnswer<ProposalStatus>;
