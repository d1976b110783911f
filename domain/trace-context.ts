// version-traceid-parentid-flags; a later version may say more after that.
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-|$)/;

/** The header that carries it, over HTTP and from client to workflow to activity. */
export const TRACE_HEADER = 'traceparent';

/** A `traceparent` (W3C Trace Context §3.2): lower-case hexadecimal. */
export interface TraceContext {
  readonly traceId: string;
  readonly spanId: string;
  readonly flags: string;
}

/** Undefined where it is none. */
export function parseTraceparent(traceparent: unknown): TraceContext | undefined {
  if (typeof traceparent !== 'string') return undefined;
  const [, traceId, spanId, flags] = TRACEPARENT.exec(traceparent) ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  return { traceId, spanId, flags };
}

export function traceparentOf({ traceId, spanId, flags }: TraceContext): string {
  return `00-${traceId}-${spanId}-${flags}`;
}

/** A span of a workflow, told when it has ended: only then is it known whole, and by whoever runs the workflow then. */
export interface WorkflowSpan {
  readonly name: string;
  /** The `traceparent` of what it is a part of. */
  readonly parent: string;
  readonly spanId: string;
  /** The `traceparent` of what it has to do with, in another trace. */
  readonly link: string | null;
  /** Epoch milliseconds, by the workflow's clock. */
  readonly startedAt: number;
  readonly endedAt: number;
  /** The name of the error that ended it. */
  readonly failure: string | null;
}

/** Where workflows tell of their spans: a sink of Temporal's. */
export type TraceSinks = { readonly traces: { ended(span: WorkflowSpan): void } };
