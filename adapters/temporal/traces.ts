import { context } from '@opentelemetry/api';
import type { WorkflowClientInterceptor } from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';
import type { Headers } from '@temporalio/common';
import type { ActivityInterceptorsFactory, InjectedSinks } from '@temporalio/worker';
import { parseTraceparent, TRACE_HEADER } from '../../domain/trace-context';
import type { TraceSinks } from '../../domain/trace-context';
import {
  contextFrom,
  fail,
  isTraced,
  OWN_SPAN_ID,
  spanned,
  SpanKind,
  startSpan,
  traceHeaders,
} from '../tracing/span';

/** What clients ask of Temporal, as spans; the workflow learns of the trace by a header that says nothing else. */
export const clientTraces: WorkflowClientInterceptor = {
  startWithDetails: (input, next) =>
    asked(`StartWorkflow:${input.workflowType}`, input.options.workflowId, () =>
      next({ ...input, headers: carrying(input.headers) }),
    ),
  signalWithStart: (input, next) =>
    asked(`SignalWithStartWorkflow:${input.workflowType}`, input.options.workflowId, () =>
      next({ ...input, headers: carrying(input.headers) }),
    ),
  signal: (input, next) =>
    asked(`SignalWorkflow:${input.signalName}`, input.workflowExecution.workflowId, () => next(input)),
  query: (input, next) =>
    asked(`QueryWorkflow:${input.queryType}`, input.workflowExecution.workflowId, () => next(input)),
  startUpdate: (input, next) =>
    asked(`UpdateWorkflow:${input.updateName}`, input.workflowExecution.workflowId, () =>
      next({ ...input, headers: carrying(input.headers) }),
    ),
  startUpdateWithStart: (input, next) =>
    asked(`UpdateWithStartWorkflow:${input.updateName}`, input.workflowStartOptions.workflowId, () =>
      next({
        ...input,
        workflowStartHeaders: carrying(input.workflowStartHeaders),
        updateHeaders: carrying(input.updateHeaders),
      }),
    ),
};

function asked<T>(name: string, workflowId: string | undefined, ask: () => Promise<T>): Promise<T> {
  return spanned(name, SpanKind.CLIENT, { ...(workflowId && { temporalWorkflowId: workflowId }) }, ask);
}

function carrying(headers: Headers): Headers {
  if (!isTraced()) return headers;
  const { traceparent } = traceHeaders();
  return { ...headers, [TRACE_HEADER]: defaultPayloadConverter.toPayload(traceparent) };
}

/** Activities as parts of the run that asked for them. */
export const activityTraces: ActivityInterceptorsFactory = ({ info }) => ({
  inbound: {
    execute(input, next) {
      const run = contextFrom(traceparentIn(input.headers));
      if (!run) return next(input);
      const { workflowId, runId } = info.workflowExecution ?? {};
      return spanned(
        `RunActivity:${info.activityType}`,
        SpanKind.INTERNAL,
        {
          ...(workflowId !== undefined && { temporalWorkflowId: workflowId }),
          ...(runId !== undefined && { run_id: runId }),
          temporalActivityId: info.activityId,
        },
        () => next(input),
        run,
      );
    },
  },
});

/** What workflows tell of themselves when they have ended. */
export const workflowTraces: InjectedSinks<TraceSinks> = {
  traces: {
    ended: {
      fn: ({ workflowId, runId }, { name, parent, spanId, link, startedAt, endedAt, failure }) => {
        const caller = contextFrom(parent);
        if (!caller) return;
        const linked = parseTraceparent(link);
        const span = context.with(context.active().setValue(OWN_SPAN_ID, spanId), () =>
          startSpan(
            name,
            {
              kind: SpanKind.INTERNAL,
              attributes: { temporalWorkflowId: workflowId, run_id: runId },
              startTime: startedAt,
              links: linked
                ? [{ context: { traceId: linked.traceId, spanId: linked.spanId, traceFlags: 0 } }]
                : [],
            },
            caller,
          ),
        );
        if (failure !== null) fail(span, failure);
        // The workflow's clock stands still within a task.
        span.end(Math.max(endedAt, startedAt));
      },
    },
  },
};

function traceparentIn(headers: Headers): unknown {
  const payload = headers[TRACE_HEADER];
  if (!payload) return undefined;
  try {
    return defaultPayloadConverter.fromPayload(payload);
  } catch {
    // Whoever may pose as a workflow may send anything: then there is no trace.
    return undefined;
  }
}
