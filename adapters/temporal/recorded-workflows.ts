import type { Connection } from '@temporalio/client';
import type { temporal } from '@temporalio/proto';
import { dateOf, listedExecutions } from './listed-workflows';

type Execution = temporal.api.workflow.v1.IWorkflowExecutionInfo;

/** How the last run of a workflow stands. */
export type RunState =
  'running' | 'completed' | 'failed' | 'cancelled' | 'terminated' | 'continued' | 'timed_out' | 'unknown';

/** The last run of a workflow, as Temporal's visibility store tells it. */
export interface RecordedWorkflow {
  readonly workflowId: string;
  readonly runId: string;
  readonly state: RunState;
  /** The search attribute `AtbState`; null where it has none. */
  readonly atbState: string | null;
  readonly startedAt: Date;
  /** Null while it runs. */
  readonly closedAt: Date | null;
}

// The numbers of temporal.api.enums.v1.WorkflowExecutionStatus.
const STATES: readonly RunState[] = [
  ...([
    'unknown',
    'running',
    'completed',
    'failed',
    'cancelled',
    'terminated',
    'continued',
    'timed_out',
  ] as const),
];
const LISTED_AT_ONCE = 1_000;

/** The last run of each workflow of a type that Temporal remembers. Needs no key: nothing sealed is opened. */
export async function recordedWorkflows(
  connection: Connection,
  namespace: string,
  workflowType: string,
): Promise<ReadonlyMap<string, RecordedWorkflow>> {
  const latest = new Map<string, RecordedWorkflow>();
  const { workflowService } = connection;
  const query = `WorkflowType = '${workflowType}'`;
  for await (const execution of listedExecutions({
    workflowService,
    namespace,
    query,
    pageSize: LISTED_AT_ONCE,
  })) {
    const one = recordedOf(execution);
    const known = latest.get(one.workflowId);
    if (!known || known.startedAt <= one.startedAt) latest.set(one.workflowId, one);
  }
  return latest;
}

/** How long Temporal remembers a workflow after its end, in seconds; null where it does not say. */
export async function retentionSeconds(connection: Connection, namespace: string): Promise<number | null> {
  const { config } = await connection.workflowService.describeNamespace({ namespace });
  const seconds = config?.workflowExecutionRetentionTtl?.seconds;
  return seconds == null ? null : Number(seconds);
}

function recordedOf({
  execution,
  status,
  startTime,
  closeTime,
  searchAttributes,
}: Execution): RecordedWorkflow {
  const state = searchAttributes?.indexedFields?.AtbState?.data;
  return {
    workflowId: execution?.workflowId ?? '',
    runId: execution?.runId ?? '',
    state: STATES[status ?? 0] ?? 'unknown',
    atbState: state ? (JSON.parse(Buffer.from(state).toString('utf8')) as string) : null,
    startedAt: dateOf(startTime) ?? new Date(0),
    closedAt: dateOf(closeTime),
  };
}
