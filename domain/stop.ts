import { AtbError } from './error';
import type { ErrorCode } from './error';
import { isJsonObject } from './json';
import type { Json, JsonObject } from './json';
import type { IdentityEvidence } from './mandate-request';
import { TIERS } from './policy';
import { parseAtbSpiffeId } from './spiffe-id';

/** What can be stopped as a whole, beside a single mandate. `everything` is the kill switch. */
export const STOP_SCOPES = ['request', 'agent', 'connector', 'tier', 'everything'] as const;
export type StopScope = (typeof STOP_SCOPES)[number];

export interface StopTarget {
  readonly scope: StopScope;
  /** A request's id, a SPIFFE ID, a connector's id, a tier, or `*` for everything. */
  readonly value: string;
}

/** Somebody who wants a stop lifted, and when they said so. */
export interface LiftProposal {
  readonly by: string;
  /** Epoch seconds. */
  readonly at: number;
}

/** What is stopped now, and who wants it lifted. */
export interface ListedStop extends StopTarget {
  /** Epoch seconds. */
  readonly stoppedAt: number;
  readonly lifts: readonly LiftProposal[];
}

/** Asks the worker what is stopped. */
export interface StopListing {
  readonly evidence: IdentityEvidence;
}

/** What policy is asked about stopping and lifting. */
export interface StopInput extends StopTarget {
  readonly operation: 'stop' | 'lift';
  /** The caller's SPIFFE ID. */
  readonly id: string;
  /** The proposals so far, without the caller's. */
  readonly lifts: readonly LiftProposal[];
  /** Epoch seconds. */
  readonly now: number;
}

/** `wait` means that another person is needed. */
export interface StopDecision {
  readonly effect: 'allow' | 'wait' | 'deny';
  readonly reasons: readonly string[];
}

export function stopInputJson(input: StopInput): JsonObject {
  const { operation, id, scope, value, now } = input;
  return { operation, id, scope, value, now, lifts: input.lifts.map(({ by, at }) => ({ by, at })) };
}

/** Reads an answer of `atb/revocation/decision`. Throws `policy_unavailable` where it is not of the form. */
export function parseStopDecision(value: unknown): StopDecision {
  const { effect, reasons } = isJsonObject(value) ? value : {};
  if (
    (effect !== 'allow' && effect !== 'wait' && effect !== 'deny') ||
    !Array.isArray(reasons) ||
    !reasons.every((reason) => typeof reason === 'string')
  ) {
    throw new AtbError('policy_unavailable', 'policy answered without a proper decision on stopping');
  }
  return { effect, reasons };
}

/** Where people stop and lift; both are signed for exactly this path and body. */
export const STOP_PATH = '/stops';
export const LIFT_PATH = '/stops/lift';

/** What a person signs: which target, and why. */
export interface StopOrder {
  readonly target: StopTarget;
  readonly reason: string;
}

/** Asks the worker to stop or to lift. */
export interface StopRequest {
  readonly operation: 'stop' | 'lift';
  /** The person's own signed request with the order in it, compact JWS: the worker believes nobody else. */
  readonly statement: string;
}

export type StopAnswer =
  | {
      readonly done: true;
      /** `waiting`: another person has to say the same. */
      readonly state: 'stopped' | 'waiting' | 'lifted';
      /** Of what was lifted: the incidents by which it was stopped. */
      readonly incidents?: readonly string[];
    }
  | {
      readonly done: false;
      readonly code: ErrorCode;
      readonly message: string;
      readonly reasons: readonly string[];
    };

const REQUEST_ID = /^[A-Za-z0-9_-]{1,128}$/;
const CONNECTOR_ID = /^[a-z0-9][a-z0-9-]{0,62}$/;
const EVERYTHING = '*';
const LONGEST_REASON = 1_000;

/** Reads `{"scope", "value", "reason"}`; `value` is `*` for everything. Throws `invalid_request`. */
export function parseStopOrder(body: Json): StopOrder {
  const { scope: text, value, reason, ...unknown } = isJsonObject(body) ? body : {};
  const scope = STOP_SCOPES.find((known) => known === text);
  if (scope === undefined) throw invalid(`scope is one of ${STOP_SCOPES.join(', ')}`);
  if (Object.keys(unknown).length > 0) throw invalid('it has scope, value and reason, and nothing else');
  if (typeof value !== 'string' || !isValueOf(scope, value)) throw invalid(`value names no ${scope}`);
  if (typeof reason !== 'string' || reason.trim() === '' || reason.length > LONGEST_REASON) {
    throw invalid(`reason says why, in 1 to ${LONGEST_REASON} characters`);
  }
  return { target: { scope, value }, reason };
}

/** The body of the call, which is signed. */
export function stopOrderJson({ target, reason }: StopOrder): JsonObject {
  return { scope: target.scope, value: target.value, reason };
}

/** A target in one text, as words on incidents name it: `agent:spiffe://…`, `tier:high`. */
export function stopTargetText({ scope, value }: StopTarget): string {
  return `${scope}:${value}`;
}

/** Reads what `stopTargetText` wrote, with the reason. Throws `invalid_request`. */
export function stopOrderOf(target: string, reason: string): StopOrder {
  const colon = target.indexOf(':');
  return parseStopOrder({
    scope: target.slice(0, Math.max(0, colon)),
    value: target.slice(colon + 1),
    reason,
  });
}

function isValueOf(scope: StopScope, value: string): boolean {
  switch (scope) {
    case 'everything':
      return value === EVERYTHING;
    case 'connector':
      return CONNECTOR_ID.test(value);
    case 'request':
      return REQUEST_ID.test(value);
    case 'tier':
      return TIERS.some((tier) => tier === value);
    case 'agent':
      // In its one spelling: another would stop nobody.
      return parseAtbSpiffeId(value).uri === value;
  }
}

function invalid(why: string): AtbError {
  return new AtbError('invalid_request', `the order cannot be read: ${why}`);
}
