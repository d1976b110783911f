import { context, isSpanContextValid, propagation, ROOT_CONTEXT, SpanKind, trace } from '@opentelemetry/api';
import type { Context, Span } from '@opentelemetry/api';
import type { IncomingHttpHeaders } from 'node:http';
import { fail, startSpan } from './span';

// What OpenTelemetry's conventions for HTTP know; anything else is of the caller's own making.
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT']);

/** One call that came in over HTTP: a part of its caller's trace, or the beginning of one. */
export class ServerSpan {
  private readonly method: string;
  private readonly span: Span;
  private readonly within: Context;

  constructor(method: string | undefined, { traceparent, tracestate }: IncomingHttpHeaders) {
    this.method = METHODS.has(method ?? '') ? (method ?? '') : '_OTHER';
    const caller = propagation.extract(ROOT_CONTEXT, { traceparent, tracestate });
    const attributes = { 'http.request.method': this.method };
    this.span = startSpan(this.method, { kind: SpanKind.SERVER, attributes }, caller);
    this.within = trace.setSpan(caller, this.span);
  }

  /** Undefined where nothing is traced. */
  get traceId(): string | undefined {
    const own = this.span.spanContext();
    return isSpanContextValid(own) ? own.traceId : undefined;
  }

  /** Runs a part of the call. */
  run<T>(work: () => T): T {
    return this.traceId === undefined ? work() : context.with(this.within, work);
  }

  /** `route`: the pattern, never the path; `status`: null where no answer was given. */
  end(route: string | null, status: number | null, code: string | null): void {
    if (route !== null) {
      this.span.updateName(`${this.method} ${route}`);
      this.span.setAttribute('http.route', route);
    }
    if (status !== null) this.span.setAttribute('http.response.status_code', status);
    if (code !== null) this.span.setAttribute('atb.code', code);
    if (status === null || status >= 500)
      fail(this.span, code ?? (status === null ? 'aborted' : String(status)));
    this.span.end();
  }
}
