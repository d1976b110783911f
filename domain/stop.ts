import { AtbError } from './error';
import { isJsonObject } from './json';
import type { JsonObject } from './json';

/** What can be stopped as a whole, beside a single mandate. `everything` is the kill switch. */
export const STOP_SCOPES = ['request', 'agent', 'connector', 'everything'] as const;
export type StopScope = (typeof STOP_SCOPES)[number];

export interface StopTarget {
  readonly scope: StopScope;
  /** A request's id, a SPIFFE ID, a connector's id, or `*` for everything. */
  readonly value: string;
}

/** Somebody who wants a stop lifted, and when they said so. */
export interface LiftProposal {
  readonly by: string;
  /** Epoch seconds. */
  readonly at: number;
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
