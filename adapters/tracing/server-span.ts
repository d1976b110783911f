import { context, isSpanContextValid, SpanKind, trace, TraceFlags } from '@opentelemetry/api';
import type { Context, Span } from '@opentelemetry/api';
import { randomId } from '../random-id';
import { callerContext, fail, startSpan } from './span';
import type { IncomingTrace, SpanAttributes } from './span';

// What OpenTelemetry's conventions for HTTP know; anything else is of the caller's own making.
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT']);

// W3C Trace Context §3.2.2.4: 8 bytes.
const SPAN_ID_DIGITS = 16;

/** One call that came in: a part of its caller's trace, or the beginning of one. Where no spans are made it has its id. */
export class ServerSpan {
  private readonly span: Span;
  private readonly within: Context;

  private constructor(
    private readonly name: string,
    incoming: IncomingTrace,
    attributes: SpanAttributes,
  ) {
    const caller = callerContext(incoming);
    const span = startSpan(name, { kind: SpanKind.SERVER, attributes }, caller);
    this.span = isSpanContextValid(span.spanContext()) ? span : untold();
    this.within = trace.setSpan(caller, this.span);
  }

  static ofHttp(method: string | undefined, incoming: IncomingTrace): ServerSpan {
    const known = METHODS.has(method ?? '') ? (method ?? '') : '_OTHER';
    return new ServerSpan(known, incoming, { 'http.request.method': known });
  }

  /** `method`: the full name, `package.Service/Method`. */
  static ofGrpc(method: string, incoming: IncomingTrace): ServerSpan {
    return new ServerSpan(method, incoming, { 'rpc.system.name': 'grpc', 'rpc.method': method });
  }

  get traceId(): string {
    return this.span.spanContext().traceId;
  }

  /** Runs a part of the call. */
  run<T>(work: () => T): T {
    return context.with(this.within, work);
  }

  /** `route`: the pattern, never the path; `status`: null where no answer was given. */
  end(route: string | null, status: number | null, code: string | null): void {
    if (route !== null) {
      this.span.updateName(`${this.name} ${route}`);
      this.span.setAttribute('http.route', route);
    }
    if (status !== null) this.span.setAttribute('http.response.status_code', status);
    if (code !== null) this.span.setAttribute('atb.code', code);
    if (status === null || status >= 500)
      fail(this.span, code ?? (status === null ? 'aborted' : String(status)));
    this.span.end();
  }
}

function untold(): Span {
  return trace.wrapSpanContext({
    traceId: randomId('hex'),
    spanId: randomId('hex').slice(0, SPAN_ID_DIGITS),
    traceFlags: TraceFlags.NONE,
  });
}
