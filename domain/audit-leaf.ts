import { AUDIT_EVENTS } from './audit-event';
import type { AuditEvent, AuditEventType } from './audit-event';
import { canonicalJson } from './canonical-json';
import { AtbError } from './error';
import type { JsonObject } from './json';
import type { Tier } from './policy';

/** No leaf is longer, in bytes: a length of two bytes is in front of it in the tiles (C2SP tlog-tiles). */
const LEAF_BYTES_MOST = 65_535;

const LEAF_VERSION = 1;

/** An event in the words of the log. */
export interface Leaf extends JsonObject {
  readonly v: typeof LEAF_VERSION;
  readonly id: string;
  readonly type: AuditEventType;
  /** RFC 3339, UTC, milliseconds. */
  readonly time: string;
  readonly request_id: string | null;
  readonly actor: string | null;
  readonly subject: string | null;
  readonly action: string | null;
  readonly tier: Tier | null;
  readonly outcome: 'success' | 'refused' | 'failure';
  readonly reasons: readonly string[];
  /** W3C Trace Context §3.2.2.3. */
  readonly trace_id: string | null;
  /** Salted digests of what the event tells but the leaf does not, by its name. */
  readonly commitments: Readonly<Record<string, string>>;
  readonly data: JsonObject;
}

/** The event in the words of the log. */
export function leafOf(event: AuditEvent): Leaf {
  return {
    v: LEAF_VERSION,
    id: event.id,
    type: event.type,
    time: event.time.toISOString(),
    request_id: event.requestId,
    actor: event.actor,
    subject: event.subject,
    action: event.action,
    tier: event.tier,
    outcome: AUDIT_EVENTS[event.type].outcome,
    reasons: event.reasons,
    trace_id: event.traceId ?? null,
    commitments: {},
    data: event.data,
  };
}

/** The RFC 8785 form of a leaf: the text that the log is about. Throws `internal` where it is too long. */
export function leafText(leaf: JsonObject): string {
  const text = canonicalJson(leaf);
  // UTF-8 takes three bytes at most for a unit of UTF-16: most are surely short enough.
  if (text.length * 3 <= LEAF_BYTES_MOST) return text;
  const length = new TextEncoder().encode(text).byteLength;
  if (length > LEAF_BYTES_MOST) {
    throw new AtbError('internal', `a leaf of ${length} bytes is more than the log takes`);
  }
  return text;
}

/** The event of a leaf that `leafOf` made. */
export function eventOfLeaf(leaf: Leaf): AuditEvent {
  return {
    id: leaf.id,
    type: leaf.type,
    time: new Date(leaf.time),
    requestId: leaf.request_id,
    actor: leaf.actor,
    subject: leaf.subject,
    action: leaf.action,
    tier: leaf.tier,
    reasons: leaf.reasons,
    ...(leaf.trace_id !== null && { traceId: leaf.trace_id }),
    data: leaf.data,
  };
}
