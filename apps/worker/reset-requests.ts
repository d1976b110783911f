import type { WorkflowService } from '@temporalio/client';
import type { WorkflowReset } from '../../activities';
import { listedExecutions } from '../../adapters/temporal/listed-workflows';
import { POA_REQUEST, poaRequestWorkflowId, requestIdOf } from '../../workflows/contract';

const LISTED_AT_ONCE = 1_000;
const MOST_AT_ONCE = 500;

interface Looking {
  readonly workflowService: WorkflowService;
  readonly namespace: string;
  /** The workflows that run now. */
  readonly running: ReadonlySet<string>;
  /** The requests that the database waits for. */
  readonly open: ReadonlySet<string>;
  /** What ended before was looked at. */
  readonly since: Date;
}

/**
 * Requests whose workflow somebody had run again. A reset ends the run that was under way, which says so; of a request
 * that was over, the new run is the sign, while it runs.
 */
export async function resetsAmong(looking: Looking): Promise<readonly WorkflowReset[]> {
  const { workflowService, namespace, running, open, since } = looking;
  const resets: WorkflowReset[] = [];
  const query = `WorkflowType = '${POA_REQUEST}' AND ExecutionStatus = 'Terminated' AND CloseTime >= '${since.toISOString()}'`;
  let looked = 0;
  for await (const { execution } of listedExecutions({
    ...{ workflowService, namespace, query },
    pageSize: LISTED_AT_ONCE,
  })) {
    const requestId = requestIdOf(execution?.workflowId ?? '');
    const run = execution?.runId ?? '';
    if (requestId === undefined || ++looked > MOST_AT_ONCE) continue;
    const { workflowExtendedInfo } = await workflowService.describeWorkflowExecution({
      namespace,
      execution: execution ?? null,
    });
    if (workflowExtendedInfo?.resetRunId) resets.push({ requestId, how: 'reset', run });
    else if (running.has(poaRequestWorkflowId(requestId))) {
      resets.push({ requestId, how: 'started_again', run });
    }
  }
  const over = [...running]
    .filter((workflowId) => !open.has(requestIdOf(workflowId) ?? ''))
    .slice(0, MOST_AT_ONCE);
  for (const workflowId of over) {
    const { workflowExtendedInfo, workflowExecutionInfo } = await workflowService.describeWorkflowExecution({
      namespace,
      execution: { workflowId },
    });
    const requestId = requestIdOf(workflowId);
    const run = workflowExecutionInfo?.firstRunId;
    if (requestId !== undefined && run && workflowExtendedInfo?.lastResetTime) {
      resets.push({ requestId, how: 'reset', run });
    }
  }
  return resets;
}
