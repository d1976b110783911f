import { defaultPayloadConverter } from '@temporalio/common';
import { ContinueAsNew, currentUpdateInfo, proxySinks, workflowInfo } from '@temporalio/workflow';
import type {
  ActivityInput,
  ContinueAsNewInput,
  Headers,
  LocalActivityInput,
  Next,
  StartChildWorkflowExecutionInput,
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
  /** Of updates that are under way, by their ids. */
  private readonly updates = new Map<string, Headers>();

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
    this.header = headerOf({ ...caller, spanId });
    return told(next(input), {
      ...{ name: `RunWorkflow:${workflowType}`, parent: traceparentOf(caller), spanId, link: null },
      startedAt: runStartTime.getTime(),
    });
  }

  /** A part of the trace of whoever asks, with all that is done for it. */
  handleUpdate(
    input: UpdateInput,
    next: Next<WorkflowInboundCallsInterceptor, 'handleUpdate'>,
  ): Promise<unknown> {
    const caller = callerIn(input.headers);
    if (!caller) return next(input);
    const spanId = hash(`${workflowInfo().runId}/${input.updateId}`);
    this.updates.set(input.updateId, headerOf({ ...caller, spanId }));
    return told(
      next(input),
      {
        ...{ name: `HandleUpdate:${input.name}`, parent: traceparentOf(caller), spanId, link: this.own },
        startedAt: Date.now(),
      },
      () => this.updates.delete(input.updateId),
    );
  }

  scheduleActivity(
    input: ActivityInput,
    next: Next<WorkflowOutboundCallsInterceptor, 'scheduleActivity'>,
  ): Promise<unknown> {
    return next({ ...input, headers: { ...input.headers, ...this.asked() } });
  }

  scheduleLocalActivity(
    input: LocalActivityInput,
    next: Next<WorkflowOutboundCallsInterceptor, 'scheduleLocalActivity'>,
  ): Promise<unknown> {
    return next({ ...input, headers: { ...input.headers, ...this.asked() } });
  }

  startChildWorkflowExecution(
    input: StartChildWorkflowExecutionInput,
    next: Next<WorkflowOutboundCallsInterceptor, 'startChildWorkflowExecution'>,
  ): Promise<[Promise<string>, Promise<unknown>]> {
    return next({ ...input, headers: { ...input.headers, ...this.asked() } });
  }

  continueAsNew(
    input: ContinueAsNewInput,
    next: Next<WorkflowOutboundCallsInterceptor, 'continueAsNew'>,
  ): Promise<never> {
    return next({ ...input, headers: { ...input.headers, ...this.header } });
  }

  /** The trace of the update that is being handled; outside of any, the run's. */
  private asked(): Headers {
    return this.updates.get(currentUpdateInfo()?.id ?? '') ?? this.header;
  }
}

function headerOf(context: TraceContext): Headers {
  return { [TRACE_HEADER]: defaultPayloadConverter.toPayload(traceparentOf(context)) };
}

const FNV_OFFSET = 0xcbf29ce484222325n;
const FNV_PRIME = 0x100000001b3n;

/** 64 bits as hexadecimal (FNV-1a): the same on every worker, and nothing of the workflow's randomness used up. */
function hash(text: string): string {
  let bits = FNV_OFFSET;
  for (const letter of text) bits = BigInt.asUintN(64, (bits ^ BigInt(letter.charCodeAt(0))) * FNV_PRIME);
  return bits.toString(16).padStart(16, '0');
}

/** What Temporal loads for each run. */
export function interceptors(): WorkflowInterceptors {
  const trace = new RunTrace();
  return { inbound: [trace], outbound: [trace] };
}

/** The same promise: one that waits for it would end a moment later, and that is another order. */
function told(
  ending: Promise<unknown>,
  span: Omit<WorkflowSpan, 'endedAt' | 'failure'>,
  onEnd: () => void = () => undefined,
): Promise<unknown> {
  const tell = (failure: string | null) => {
    onEnd();
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
