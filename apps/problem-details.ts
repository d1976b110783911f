import { statusOf } from '../domain/error';
import type { AtbError, ErrorCode } from '../domain/error';
import type { JsonObject } from '../domain/json';

/** RFC 9457 problem details, with our extensions: `code`, `reasons`, `errors`, `needed`, `request_id` and `trace_id`. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: ErrorCode;
  readonly detail: string;
  readonly reasons?: readonly string[];
  readonly errors?: readonly { readonly pointer: string; readonly code: string; readonly detail: string }[];
  readonly request_id?: string;
  /** What a mandate for the call would have to name: the `act` and `con` of POST /issue. */
  readonly needed?: { readonly act: string; readonly con: { readonly params: JsonObject } };
  /** The same as in the audit event and the access log (W3C Trace Context §3.2.2.3). */
  readonly trace_id: string;
}

export function problemOf(error: AtbError, traceId: string): Problem {
  return {
    type: `urn:atb:problem:${error.code}`,
    title: error.code.replaceAll('_', ' '),
    status: statusOf(error.code),
    code: error.code,
    detail: error.message,
    ...(error.reasons.length > 0 && { reasons: error.reasons }),
    ...(error.errors.length > 0 && { errors: error.errors }),
    ...(error.needed && { needed: { act: error.needed.act, con: { params: error.needed.params } } }),
    ...(error.requestId !== undefined && { request_id: error.requestId }),
    trace_id: traceId,
  };
}
