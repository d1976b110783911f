import type { JsonObject } from './json';

/**
 * One call that was answered: who called what, and how it ended. Nothing that came with the call is in it but its names:
 * no mandate, token, body, query or path value. Source: operating model §6 (access logs, 90 days).
 */
export interface Access {
  /** Unique, so that whoever stores lines can leave out one that comes twice. */
  readonly id: string;
  readonly process: 'agentauth' | 'broker';
  /** When the call came. */
  readonly time: Date;
  /** W3C Trace Context §3.2.2.3. */
  readonly traceId: string;
  /** The SPIFFE ID that the caller proved; null where it proved none. */
  readonly client: string | null;
  readonly method: string;
  /** The route's template, or `none`: never the path as it was called. */
  readonly route: string;
  /** The HTTP status; null where the connection ended before there was one. */
  readonly status: number | null;
  readonly durationMs: number;
  /** Of the answer's body. */
  readonly bytes: number;
  readonly requestId: string | null;
  /** Why it was refused, as in the problem that was answered. */
  readonly code: string | null;
}

/** The line's content, as it is written and exported. */
export function accessRecord(access: Access): JsonObject {
  return {
    time: access.time.toISOString(),
    id: access.id,
    process: access.process,
    trace_id: access.traceId,
    client: access.client,
    method: access.method,
    route: access.route,
    status: access.status,
    duration_ms: Math.round(access.durationMs * 10) / 10,
    bytes: access.bytes,
    request_id: access.requestId,
    code: access.code,
  };
}

/** Ids of requests as we make them; what else stands in such a place is the caller's own text. */
const REQUEST_ID = /^[A-Za-z0-9_-]{16,64}$/;

/** A request's id from where a caller may have written something else. */
export function loggableRequestId(text: string | undefined): string | null {
  return text !== undefined && REQUEST_ID.test(text) ? text : null;
}
