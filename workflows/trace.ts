import { defaultPayloadConverter } from '@temporalio/common';
import { ContinueAsNew, proxySinks, workflowInfo } from '@temporalio/workflow';
import type {
  ActivityInput,
  ContinueAsNewInput,
  Headers,
  LocalActivityInput,
  Next,
  UpdateInput,
  WorkflowExecuteInput,
  WorkflowInboundCallsInterceptor,
  WorkflowInterceptors,
  WorkflowOutboundCallsInterceptor,
} from '@temporalio/workflow';
import { parseTraceparent, TRACE_HEADER, traceparentOf } from '../domain/trace-context';
import type { TraceContext, TraceSinks, WorkflowSpan } from '../domain/trace-context';

/**
 * A run as a span of the trace that started it, and what it asks for as parts of that. Without a `traceparent` in the
 * headers it does nothing. It never changes what a workflow does, or in which order: headers are no part of what a
 * replay compares, and no promise of the workflow's is waited for.
 */
class RunTrace implements WorkflowInboundCallsInterceptor, WorkflowOutboundCallsInterceptor {
  private header: Headers = {};
  private own: string | null = null;

  execute(
    input: WorkflowExecuteInput,
    next: Next<WorkflowInboundCallsInterceptor, 'execute'>,
  ): Promise<unknown> {
    const caller = callerIn(input.headers);
    if (!caller) return next(input);
    const { runId, workflowType, runStartTime } = workflowInfo();
    // The run's id again, so that every worker that ever runs it knows it; random enough, and never used up.
    const spanId = runId.replaceAll('-', '').slice(-16);
    this.own = traceparentOf({ ...caller, spanId });
    this.header = { [TRACE_HEADER]: defaultPayloadConverter.toPayload(this.own) };
    return told(next(input), {
      ...{ name: `RunWorkflow:${workflowType}`, parent: traceparentOf(caller), spanId, link: null },
      startedAt: runStartTime.getTime(),
    });
  }

  /** A part of the trace of whoever asks; what it has done is a part of the run's. */
  handleUpdate(
    input: UpdateInput,
    next: Next<WorkflowInboundCallsInterceptor, 'handleUpdate'>,
  ): Promise<unknown> {
    const caller = callerIn(input.headers);
    if (!caller) return next(input);
    return told(next(input), {
      ...{ name: `HandleUpdate:${input.name}`, parent: traceparentOf(caller), spanId: null, link: this.own },
      startedAt: Date.now(),
    });
  }

  scheduleActivity(
    input: ActivityInput,
    next: Next<WorkflowOutboundCallsInterceptor, 'scheduleActivity'>,
  ): Promise<unknown> {
    return next({ ...input, headers: { ...input.headers, ...this.header } });
  }

  scheduleLocalActivity(
    input: LocalActivityInput,
    next: Next<WorkflowOutboundCallsInterceptor, 'scheduleLocalActivity'>,
  ): Promise<unknown> {
    return next({ ...input, headers: { ...input.headers, ...this.header } });
  }

  continueAsNew(
    input: ContinueAsNewInput,
    next: Next<WorkflowOutboundCallsInterceptor, 'continueAsNew'>,
  ): Promise<never> {
    return next({ ...input, headers: { ...input.headers, ...this.header } });
  }
}

/** What Temporal loads for each run. */
export function interceptors(): WorkflowInterceptors {
  const trace = new RunTrace();
  return { inbound: [trace], outbound: [trace] };
}

/** The same promise: one that waits for it would end a moment later, and that is another order. */
function told(ending: Promise<unknown>, span: Omit<WorkflowSpan, 'endedAt' | 'failure'>): Promise<unknown> {
  const tell = (failure: string | null) => {
    proxySinks<TraceSinks>().traces.ended({ ...span, endedAt: Date.now(), failure });
  };
  ending.then(
    () => {
      tell(null);
    },
    (error: unknown) => {
      if (error instanceof ContinueAsNew) tell(null);
      else tell(error instanceof Error ? error.name : 'unknown');
    },
  );
  return ending;
}

function callerIn(headers: Headers): TraceContext | undefined {
  const payload = headers[TRACE_HEADER];
  if (!payload) return undefined;
  try {
    return parseTraceparent(defaultPayloadConverter.fromPayload(payload));
  } catch {
    // Whoever may start workflows may send anything: then there is no trace.
    return undefined;
  }
}
