import { readFile } from 'node:fs/promises';
import type { PolicyCase } from '../../adapters/opa/policy-cases';
import type { WasmPolicy } from '../../adapters/opa/wasm-policy';
import { canonicalJson } from '../../domain/canonical-json';
import { isJsonObject } from '../../domain/json';
import type { JsonObject } from '../../domain/json';
import { UsageError } from './refusal';

/** A case that two policies decide otherwise; both sides in a few words. */
export interface Change {
  readonly name: string;
  readonly before: string;
  readonly after: string;
}

/** A request that a worker recorded, with what was decided then. */
export interface RecordedRequest extends PolicyCase {
  readonly decision: unknown;
}

/** Every case whose decision is another one, the revision aside. */
export function changesBetween(
  cases: readonly PolicyCase[],
  before: (one: PolicyCase) => unknown,
  after: WasmPolicy,
): Change[] {
  const changes: Change[] = [];
  for (const one of cases) {
    const left = comparable(before(one));
    const right = comparable(after.evaluate(one.input, 'atb/poa/decision'));
    if (canonicalJson(left) === canonicalJson(right)) continue;
    changes.push({ name: one.name, ...inWords(left, right) });
  }
  return changes;
}

/** Reads recorded requests, one JSON object a line. Throws `UsageError` with the line that is none. */
export async function readRecorded(file: string): Promise<RecordedRequest[]> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw new UsageError(`${file} cannot be read`, { cause });
  }
  return text
    .split('\n')
    .map((line, index) => ({ line, number: index + 1 }))
    .filter(({ line }) => line.trim() !== '')
    .map(({ line, number }) => recordedRequest(line, `${file}:${number}`));
}

function recordedRequest(line: string, place: string): RecordedRequest {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new UsageError(`${place} is not JSON`, { cause });
  }
  if (!isJsonObject(value) || !isJsonObject(value.input)) throw new UsageError(`${place} has no input`);
  const { name, time, input, decision } = value;
  const called = typeof name === 'string' ? name : `${place}${typeof time === 'string' ? ` at ${time}` : ''}`;
  return { name: called, input, decision };
}

function comparable(decision: unknown): JsonObject {
  if (!isJsonObject(decision)) return { effect: 'none' };
  return Object.fromEntries(Object.entries(decision).filter(([name]) => name !== 'policy_revision'));
}

/** What people look for first, then the other members that differ. */
function inWords(left: JsonObject, right: JsonObject): { before: string; after: string } {
  const names = [...new Set([...Object.keys(left), ...Object.keys(right)])];
  const differing = names.filter((name) => text(left[name]) !== text(right[name]));
  const said = ['effect', 'tier', ...differing.filter((name) => name !== 'effect' && name !== 'tier')];
  const words = (decision: JsonObject) =>
    said
      .filter((name) => decision[name] !== undefined)
      .map((name) => `${name} ${text(decision[name])}`)
      .join(', ');
  return { before: words(left), after: words(right) };
}

function text(value: unknown): string {
  return value === undefined ? '' : typeof value === 'string' ? value : canonicalJson(value);
}
