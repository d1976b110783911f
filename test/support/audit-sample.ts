import { AUDIT_EVENTS } from '../../domain/audit-event';
import type { AuditEventType } from '../../domain/audit-event';
import type { Json, JsonObject } from '../../domain/json';

/** The least data that an event of this type must carry. */
export function sampleData(type: AuditEventType): JsonObject {
  return sample(AUDIT_EVENTS[type].data) as JsonObject;
}

function sample({ type, pattern, enum: values, anyOf, required, properties }: JsonObject): Json {
  if (Array.isArray(values)) return values[0] as Json;
  if (anyOf !== undefined) return null;
  if (type === 'integer' || type === 'number') return 1;
  if (type === 'boolean') return true;
  if (type === 'array') return [];
  if (type === 'object') {
    const names = (required ?? []) as readonly string[];
    return Object.fromEntries(
      names.map((name) => [name, sample((properties as Record<string, JsonObject>)[name]!)]),
    );
  }
  return pattern === undefined ? 'sample' : 'A'.repeat(43);
}
