import {
  context,
  createContextKey,
  defaultTextMapGetter,
  defaultTextMapSetter,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
} from '@opentelemetry/api';
import type { Context, Link, Span } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { isAtbError } from '../../domain/error';
import { parseTraceparent } from '../../domain/trace-context';

/**
 * All that spans ever say, besides names made of constants: no parameter, token, path, query or person. HTTP, gRPC and
 * database by OpenTelemetry's semantic conventions, the workflow's ids as Temporal's SDK names them.
 */
export const SPAN_ATTRIBUTES = [
  ...(['http.request.method', 'http.route', 'http.response.status_code', 'url.template'] as const),
  ...(['server.address', 'server.port', 'error.type'] as const),
  ...(['rpc.system.name', 'rpc.method', 'db.system.name', 'db.query.summary'] as const),
  ...(['temporalWorkflowId', 'temporalActivityId', 'run_id'] as const),
  /** The code of the problem that was answered. */
  'atb.code',
] as const;

export type SpanAttributes = Readonly<Partial<Record<(typeof SPAN_ATTRIBUTES)[number], string | number>>>;

/** The id that the next span is to have (see the tracer provider). */
export const OWN_SPAN_ID = createContextKey('the id of a span that is known before it is told');

const SCOPE = 'agent-trust-broker';

// The trace of a call goes with it, and into its audit events, whether or not spans are made and sent.
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());

// Of what a caller may send along, the trace alone: never baggage.
const W3C = new W3CTraceContextPropagator();

/** Outside a trace nothing is. */
export function isTraced(): boolean {
  return trace.getActiveSpan() !== undefined;
}

export function startSpan(
  name: string,
  options: {
    readonly kind: SpanKind;
    readonly attributes: SpanAttributes;
    readonly startTime?: number;
    readonly links?: Link[];
  },
  within: Context = context.active(),
): Span {
  return trace.getTracer(SCOPE).startSpan(name, options, within);
}

/** Runs the work as a part of the trace that is under way; where there is none, it just runs. */
export async function spanned<T>(
  name: string,
  kind: SpanKind,
  attributes: SpanAttributes,
  work: (span?: Span) => Promise<T>,
  within: Context = context.active(),
): Promise<T> {
  if (!trace.getSpan(within)) return work();
  const span = startSpan(name, { kind, attributes }, within);
  try {
    return await context.with(trace.setSpan(within, span), () => work(span));
  } catch (error) {
    fail(span, errorType(error));
    throw error;
  } finally {
    span.end();
  }
}

/** Runs work that serves many at once as a part of none of their traces. */
export function outsideTraces<T>(work: () => T): T {
  return context.with(trace.deleteSpan(context.active()), work);
}

/** The kind of an error and never its words, which may say anything. */
export function fail(span: Span, errorType: string): void {
  span.setAttribute('error.type' satisfies keyof SpanAttributes, errorType);
  span.setStatus({ code: SpanStatusCode.ERROR });
}

function errorType(error: unknown): string {
  if (isAtbError(error)) return error.code;
  return error instanceof Error ? error.name : 'unknown';
}

/** `traceparent` (and `tracestate`) of the span that is active; nothing where none is. */
export function traceHeaders(): Record<string, string> {
  const headers: Record<string, string> = {};
  if (isTraced()) W3C.inject(context.active(), headers, defaultTextMapSetter);
  return headers;
}

/** The trace of whoever sent these headers; none where they name none. */
export function callerContext({ traceparent, tracestate }: IncomingTrace): Context {
  return W3C.extract(ROOT_CONTEXT, { traceparent, tracestate }, defaultTextMapGetter);
}

/** The trace that a `traceparent` names; the active one where it names none. */
export function contextFrom(traceparent: unknown): Context | undefined {
  const named = parseTraceparent(traceparent);
  if (!named) return undefined;
  return trace.setSpanContext(context.active(), {
    ...{ traceId: named.traceId, spanId: named.spanId, isRemote: true },
    traceFlags: parseInt(named.flags, 16) & TraceFlags.SAMPLED,
  });
}

/** The id of the trace that is under way (W3C Trace Context §3.2.2.3). */
export function activeTraceId(): string | undefined {
  return trace.getActiveSpan()?.spanContext().traceId;
}

/** Headers as they came, `traceparent` and `tracestate` (W3C Trace Context) among them. */
export type IncomingTrace = Readonly<Record<string, string | string[] | undefined>>;

export { SpanKind };
