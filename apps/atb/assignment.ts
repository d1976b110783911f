import { isAtbError } from '../../domain/error';
import type { Json, JsonObject } from '../../domain/json';
import { parseStrictJson } from '../../domain/strict-json';
import { UsageError } from './refusal';

/**
 * Reads `name=text` (the value is a string, whatever it looks like) and `name:=json` (the value is JSON: a number, a
 * boolean, an object …), and joins them; the name ends at the first `=` or `:=`. Throws `UsageError`, also for a name
 * that stands twice: which of the two would be meant?
 */
export function parseAssignments(option: string, assignments: readonly string[]): JsonObject {
  const values: Record<string, Json> = {};
  for (const assignment of assignments) {
    const found = /^([^=]*?)(:?=)(.*)$/s.exec(assignment);
    const [, name = '', operator, value = ''] = found ?? [];
    if (!found || name === '' || name === '__proto__') {
      throw new UsageError(
        `${option} ${assignment}: write name=text, or name:=json for a number or other JSON`,
      );
    }
    if (Object.hasOwn(values, name)) throw new UsageError(`${option}: ${name} stands twice`);
    values[name] = operator === '=' ? value : parseJson(`${option} ${name}`, value);
  }
  return values;
}

/** Strict JSON, as AgentAuth reads it. Throws `UsageError`. */
export function parseJson(what: string, content: string): Json {
  try {
    return parseStrictJson(content);
  } catch (error) {
    if (!isAtbError(error)) throw error;
    throw new UsageError(`${what}: ${error.message}`, { cause: error });
  }
}
