import { isJsonObject } from './json';

/**
 * What stands in place of a payload that was not sealed, or was sealed for another workflow. A worker cannot throw
 * while it reads a history (the workflow would be stuck for ever), so it puts this in: nothing of the payload passes
 * through, and whoever parses it sees a refusal.
 */
export interface RefusedPayload {
  readonly refused: 'payload_refused';
  readonly reason: string;
}

export function refusedPayload(reason: string): RefusedPayload {
  return { refused: 'payload_refused', reason };
}

export function isRefusedPayload(value: unknown): value is RefusedPayload {
  return isJsonObject(value) && value.refused === 'payload_refused';
}
