import { isJsonObject } from '../../domain/json';
import type { Json, JsonObject } from '../../domain/json';
import { Unreachable } from './refusal';

/** Members of what AgentAuth shows, before anybody signs it: whatever is not of its form throws `Unreachable`. */
export function objects(value: Json | undefined): readonly JsonObject[] {
  return Array.isArray(value) ? (value as readonly Json[]).filter(isJsonObject) : notShown();
}

export function texts(value: Json | undefined): readonly string[] {
  return Array.isArray(value) ? (value as readonly Json[]).map(text) : notShown();
}

export function text(value: Json | undefined): string {
  return typeof value === 'string' ? value : notShown();
}

export function textOrNull(value: Json | undefined): string | null {
  return typeof value === 'string' ? value : null;
}

export function whole(value: Json | undefined): number {
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : notShown();
}

export function notShown(): never {
  throw new Unreachable('AgentAuth answered with something else than was asked for');
}
