import type { Client } from '@temporalio/client';
import { WorkflowExecutionAlreadyStartedError, WorkflowUpdateFailedError } from '@temporalio/client';
import type { ChangeAnswer, ChangeStatus } from '../../domain/change';
import { AtbError } from '../../domain/error';
import {
  ATB_STATE,
  CHANGE,
  changeBegunUpdate,
  changeIdOf,
  changeQuery,
  changeWordUpdate,
  changeWorkflowId,
  TASK_QUEUE,
} from '../../workflows/contract';
import type { ChangeWordSubmission, ChangeWorkflow } from '../../workflows/contract';
import { failureOf, TemporalCalls } from './temporal-calls';

const ID = /^(emergency_)?change\.[a-z0-9_-]+\.[A-Za-z0-9_-]{22}$/;

/** The way to the changes that are carried out. It starts, asks and passes on; it decides nothing. */
export class Changes extends TemporalCalls {
  constructor(client: Client, decisionTimeoutMs: number) {
    super(client, decisionTimeoutMs, unknownChange);
  }

  /** Runs it, or joins the run of it. One that was refused, or whose workflow somebody ended, may be run again. */
  async run(id: string, statement: string): Promise<ChangeAnswer> {
    const handle = this.handle(id);
    const before = await this.status(id).catch(() => undefined);
    const isOver = before?.state === 'refused';
    try {
      await this.within(this.decisionTimeoutMs, () =>
        this.client.workflow.start<ChangeWorkflow>(CHANGE, {
          workflowId: changeWorkflowId(id),
          taskQueue: TASK_QUEUE,
          args: [{ id, statement }],
          workflowIdReusePolicy: isOver ? 'ALLOW_DUPLICATE' : 'ALLOW_DUPLICATE_FAILED_ONLY',
          staticSummary: id,
          typedSearchAttributes: [{ key: ATB_STATE, value: 'starting' }],
        }),
      );
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw this.outOfReach(error, undefined);
    }
    return this.answer(id, () => handle.executeUpdate(changeBegunUpdate));
  }

  word(id: string, submission: ChangeWordSubmission): Promise<ChangeAnswer> {
    const handle = this.handle(id);
    return this.answer(id, () => handle.executeUpdate(changeWordUpdate, { args: [submission] }));
  }

  /** Throws `change_unknown`, `worker_unavailable`, `temporal_unavailable`. */
  status(id: string): Promise<ChangeStatus> {
    return this.reaching(() => this.handle(id).query(changeQuery));
  }

  /** Those that were run, the newest first, as far as one look goes. */
  list(): Promise<readonly ChangeStatus[]> {
    return this.listed(`WorkflowType = '${CHANGE}'`, changeIdOf, (id) => this.status(id));
  }

  private async answer(id: string, call: () => Promise<ChangeAnswer>): Promise<ChangeAnswer> {
    try {
      return await this.within(this.decisionTimeoutMs, call);
    } catch (error) {
      if (error instanceof AtbError) throw error;
      if (error instanceof WorkflowUpdateFailedError) throw failureOf(error.cause, undefined);
      // Over already: where it stands is told, and a word on it is too late.
      const status = await this.status(id).catch(() => undefined);
      if (status === undefined) throw this.outOfReach(error, undefined);
      if (status.state === 'starting' || status.state === 'running' || status.state === 'rolling_back') {
        throw this.outOfReach(error, undefined);
      }
      return {
        ...{ done: false, code: 'change_finished', message: `the change is ${status.state}` },
        reasons: status.reasons,
      };
    }
  }

  private handle(id: string) {
    if (!ID.test(id)) throw unknownChange();
    return this.client.workflow.getHandle<ChangeWorkflow>(changeWorkflowId(id));
  }
}

function unknownChange(): AtbError {
  return new AtbError('change_unknown', 'no such change was run');
}
