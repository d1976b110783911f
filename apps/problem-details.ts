import { statusOf } from '../domain/error';
import type { AtbError, ErrorCode } from '../domain/error';

/** RFC 9457 problem details, with our extensions `code`, `reasons`, `errors` and `request_id`. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: ErrorCode;
  readonly detail: string;
  readonly reasons?: readonly string[];
  readonly errors?: readonly { readonly pointer: string; readonly code: string; readonly detail: string }[];
  readonly request_id?: string;
}

export function problemOf(error: AtbError): Problem {
  return {
    type: `urn:atb:problem:${error.code}`,
    title: error.code.replaceAll('_', ' '),
    status: statusOf(error.code),
    code: error.code,
    detail: error.message,
    ...(error.reasons.length > 0 && { reasons: error.reasons }),
    ...(error.errors.length > 0 && { errors: error.errors }),
    ...(error.requestId !== undefined && { request_id: error.requestId }),
  };
}
