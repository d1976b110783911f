import { WorkflowNotFoundError } from '@temporalio/client';
import type { Client } from '@temporalio/client';
import type { Loss } from '../../activities';

const LOSSES: Readonly<Partial<Record<string, Loss>>> = {
  TERMINATED: 'workflow_terminated',
  FAILED: 'workflow_failed',
  TIMED_OUT: 'workflow_failed',
  COMPLETED: 'workflow_ended_unrecorded',
  CANCELLED: 'workflow_ended_unrecorded',
};

/** What became of a workflow that has no end in the database: null where it runs, or says what we do not know. */
export async function lossOf(
  client: Client,
  workflowId: string,
): Promise<{ readonly how: Loss; readonly run: string | null } | null> {
  try {
    const { status, runId: run } = await client.workflow.getHandle(workflowId).describe();
    const how = LOSSES[status.name];
    return how === undefined ? null : { how, run };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return { how: 'workflow_removed', run: null };
    throw error;
  }
}
