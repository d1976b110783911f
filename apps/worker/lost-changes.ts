import { WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import type { Client } from '@temporalio/client';
import { recordLostChange } from '../../activities';
import type { ChangePorts, LostChangeRun } from '../../activities';
import { listedExecutions } from '../../adapters/temporal/listed-workflows';
import { isAtbError } from '../../domain/error';
import { visible } from '../../domain/foreign-text';
import { CHANGE, changeIdOf, changeStart, changeWorkflowId, TASK_QUEUE } from '../../workflows/contract';
import type { ChangeWorkflow } from '../../workflows/contract';
import { LostWorkflows } from './lost-workflows';
import { lossOf } from './workflow-loss';

const LOOK_EVERY_MS = 15_000;
// What ended while no worker ran.
const LOOK_BACK_MS = 24 * 3_600_000;
const MOST = 500;

/**
 * Compares the changes that are under way with what Temporal runs: who terminates, deletes or resets a workflow runs no
 * code of ours. It is recorded, and a change whose workflow is gone gets another, which rolls it back: never is it left
 * half. Visibility, which lags and can be edited, only says which runs ended; each run itself says how.
 */
export class LostChanges extends LostWorkflows<ChangePorts> {
  protected readonly what = 'changes under way';
  protected readonly everyMs = LOOK_EVERY_MS;
  private since = new Date(Date.now() - LOOK_BACK_MS);

  protected async lookWith(client: Client): Promise<void> {
    const began = this.ports.clock();
    for (const run of await this.endedRuns(client)) await this.record(run);
    // Visibility lags: what ended lately is looked at twice, and recorded once.
    this.since = new Date(began.getTime() - 60_000);
    for (const { id, statement } of await this.ports.changes.unfinished(MOST)) {
      const lost = (await lossOf(client, changeWorkflowId(id))) ?? (await replaced(client, id));
      if (!lost) continue;
      await this.record({ id, ...lost });
      await this.startAgain(client, id, statement);
    }
  }

  /** Runs that ended lately, and not by themselves. */
  private async endedRuns({ workflowService }: Client): Promise<readonly LostChangeRun[]> {
    const { namespace, since } = this;
    const runs: LostChangeRun[] = [];
    const query = `WorkflowType = '${CHANGE}' AND ExecutionStatus = 'Terminated' AND CloseTime >= '${since.toISOString()}'`;
    for await (const { execution } of listedExecutions({
      workflowService,
      namespace,
      query,
      pageSize: MOST,
    })) {
      const id = changeIdOf(execution?.workflowId ?? '');
      const run = execution?.runId;
      if (id === undefined || run == null) continue;
      if (runs.length === MOST) break;
      const { workflowExtendedInfo } = await workflowService.describeWorkflowExecution({
        ...{ namespace, execution: execution ?? null },
      });
      runs.push({ id, run, how: workflowExtendedInfo?.resetRunId ? 'reset' : 'workflow_terminated' });
    }
    return runs;
  }

  /** What an insider starts under an id of their own is no change, and keeps nothing else from being looked at. */
  private async record(run: LostChangeRun): Promise<void> {
    try {
      await recordLostChange(this.ports, run);
    } catch (error) {
      if (!isAtbError(error) || error.code !== 'change_unknown') throw error;
      this.log.warn(`${visible(run.id)} is no change: its workflow was started by somebody else`);
    }
  }

  private async startAgain(client: Client, id: string, statement: string): Promise<void> {
    try {
      await client.workflow.start<ChangeWorkflow>(CHANGE, {
        ...changeStart({ id, statement }),
        workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      });
      this.log.warn(`the workflow of ${id} was gone, and was started again`);
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    }
  }
}

/** A workflow that somebody else started in its place is ended: it would keep the change half for ever. */
async function replaced(client: Client, id: string): Promise<Omit<LostChangeRun, 'id'> | null> {
  const handle = client.workflow.getHandle(changeWorkflowId(id));
  const { type, taskQueue, runId: run } = await handle.describe();
  if (type === CHANGE && taskQueue === TASK_QUEUE) return null;
  await handle.terminate('it is not the workflow of the change');
  return { how: 'started_again', run };
}
