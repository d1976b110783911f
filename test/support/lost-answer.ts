import { temporal } from '@temporalio/proto';
import { NAMESPACE } from '../../adapters/temporal/server-settings';
import { poaRequestWorkflowId } from '../../workflows/contract';
import type { TestStack } from './stack';

/**
 * Takes the last update of a request out of its history: the database has what it did, and the workflow does not know,
 * as where the answer of its step is lost. Answers the handle of the run that goes on.
 */
export async function loseLastAnswer(stack: TestStack, requestId: string) {
  const client = await stack.sealedClient();
  const workflowId = poaRequestWorkflowId(requestId);
  const before = client.workflow.getHandle(workflowId);
  const { runId } = await before.describe();
  const { events } = await before.fetchHistory();
  const all = events ?? [];
  const last = all.findLastIndex((event) => event.workflowExecutionUpdateAcceptedEventAttributes);
  const point = all.slice(0, last).findLast((event) => event.workflowTaskCompletedEventAttributes);
  if (last < 0 || !point?.eventId) throw new Error('its history has no update');
  const again = await client.workflowService.resetWorkflowExecution({
    ...{ namespace: NAMESPACE, workflowExecution: { workflowId, runId } },
    ...{ workflowTaskFinishEventId: point.eventId, requestId: `lost-${runId}`, reason: 'its answer is lost' },
    resetReapplyExcludeTypes: [
      temporal.api.enums.v1.ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE,
    ],
  });
  return client.workflow.getHandle(workflowId, again.runId);
}
