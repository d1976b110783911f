import type { Client } from '@temporalio/client';
import { WorkflowExecutionAlreadyStartedError, WorkflowUpdateFailedError } from '@temporalio/client';
import type { ChangeAnswer, ChangeStatus } from '../../domain/change';
import { AtbError } from '../../domain/error';
import {
  CHANGE,
  changeBegunUpdate,
  changeIdOf,
  changeQuery,
  changeStart,
  changeWordUpdate,
  changeWorkflowId,
} from '../../workflows/contract';
import type { ChangeWordSubmission, ChangeWorkflow } from '../../workflows/contract';
import { failureOf, TemporalCalls } from './temporal-calls';

const LOST = 'change_workflow_lost';
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
          ...changeStart({ id, statement }),
          workflowIdReusePolicy: isOver ? 'ALLOW_DUPLICATE' : 'ALLOW_DUPLICATE_FAILED_ONLY',
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
  async status(id: string): Promise<ChangeStatus> {
    const handle = this.handle(id);
    const status = await this.reaching(() => handle.query(changeQuery));
    if (!isUnderWay(status)) return status;
    // A run that somebody ended would say for ever where it stood before.
    const { status: run } = await this.reaching(() => handle.describe());
    return run.name === 'RUNNING' ? status : { ...status, waitsFor: LOST };
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
      if (status.waitsFor === LOST) {
        throw new AtbError(LOST, 'somebody ended the workflow of the change; it is about to be rolled back');
      }
      if (isUnderWay(status)) throw this.outOfReach(error, undefined);
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

function isUnderWay({ state }: ChangeStatus): boolean {
  return state === 'starting' || state === 'running' || state === 'rolling_back';
}

function unknownChange(): AtbError {
  return new AtbError('change_unknown', 'no such change was run');
}
