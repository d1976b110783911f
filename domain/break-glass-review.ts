import { AtbError } from './error';
import type { ErrorCode } from './error';
import type { StoredAuditEvent } from './audit-event';
import type { IdentityEvidence, SignedRequestEvidence } from './mandate-request';
import { isJsonObject } from './json';
import type { JsonObject } from './json';
import type { Tier } from './policy';

export const FINDINGS = ['justified', 'not_justified'] as const;
export type Finding = (typeof FINDINGS)[number];

/** A broken glass that somebody Accountable has to look at, as its audit event tells it. */
export interface OpenReview {
  readonly requestId: string;
  readonly act: string | null;
  readonly agent: string;
  readonly tier: Tier;
  /** SPIFFE IDs of those who approved in place of approvers, each with the reason that was signed. */
  readonly people: readonly { readonly id: string | null; readonly reason: string | null }[];
  readonly role: string;
  /** Epoch seconds. */
  readonly brokenAt: number;
  readonly reviewUntil: number;
}

/** Reads an event `poa_break_glass`; null for any other. */
export function openReviewOf(event: StoredAuditEvent): OpenReview | null {
  const { requestId, subject, tier, action, time, data } = event;
  if (event.type !== 'poa_break_glass' || requestId === null || subject === null || tier === null)
    return null;
  const people = data.people as readonly (string | null)[];
  const reasons = data.stated_reasons as readonly (string | null)[];
  return {
    ...{ requestId, act: action, agent: subject, tier },
    people: people.map((id, index) => ({ id, reason: reasons[index] ?? null })),
    role: data.role as string,
    brokenAt: Math.floor(time.getTime() / 1000),
    reviewUntil: data.review_until as number,
  };
}

export function reviewPath(requestId: string): string {
  return `/reviews/${requestId}`;
}

/** What somebody signs to close a review. */
export interface ReviewWord {
  readonly finding: Finding;
  readonly reason: string;
  readonly digest: string;
}

const MAX_REASON = 2_000;

/** The body of POST /reviews/:id. Throws `invalid_request`, `unknown_field`. */
export function reviewWordOf(body: JsonObject): ReviewWord {
  const { finding, reason, digest, ...unknown } = body;
  const [stranger] = Object.keys(unknown);
  if (stranger !== undefined) throw new AtbError('unknown_field', `${stranger} is not a field of this call`);
  const found = FINDINGS.find((known) => known === finding);
  if (!found) throw new AtbError('invalid_request', `finding is one of ${FINDINGS.join(', ')}`);
  if (typeof reason !== 'string' || reason.trim() === '' || reason.length > MAX_REASON) {
    throw new AtbError('invalid_request', `reason must be a text of 1 to ${MAX_REASON} characters`);
  }
  if (typeof digest !== 'string' || !/^[A-Za-z0-9_-]{43}$/.test(digest)) {
    throw new AtbError('invalid_request', 'digest must be the digest that GET /reviews gives');
  }
  return { finding: found, reason, digest };
}

/** A review, and whether the caller may close it: empty reasons mean yes. */
export interface ReviewForCaller extends OpenReview {
  readonly digest: string;
  readonly hindrances: readonly string[];
}

export interface ReviewListing {
  readonly evidence: IdentityEvidence;
}

export interface ReviewClosing {
  readonly requestId: string;
  readonly evidence: SignedRequestEvidence;
}

export type ReviewClosed =
  | { readonly done: true; readonly finding: Finding; readonly closedAt: number }
  | {
      readonly done: false;
      readonly code: ErrorCode;
      readonly message: string;
      readonly reasons: readonly string[];
    };

/** What policy is asked about somebody who wants to close a review. */
export interface ReviewQuestion {
  readonly id: string;
  readonly agent: string;
  readonly tier: Tier;
  /** Null for somebody who was erased. */
  readonly people: readonly (string | null)[];
  /** In which they approved. */
  readonly role: string;
}

export interface ReviewDecision {
  readonly effect: 'allow' | 'deny';
  readonly reasons: readonly string[];
  /** Whether they may see it at all. */
  readonly visible: boolean;
}

/** Reads an answer of `atb/review/decision`. Throws `policy_unavailable`. */
export function parseReviewDecision(value: unknown): ReviewDecision {
  const { effect, reasons, visible } = isJsonObject(value) ? value : {};
  if (
    (effect !== 'allow' && effect !== 'deny') ||
    typeof visible !== 'boolean' ||
    !Array.isArray(reasons) ||
    !reasons.every((reason) => typeof reason === 'string')
  ) {
    throw new AtbError('policy_unavailable', 'policy answered without a proper decision on a review');
  }
  return { effect, reasons, visible };
}
