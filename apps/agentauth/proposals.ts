import type { Client } from '@temporalio/client';
import {
  Connection,
  WorkflowExecutionAlreadyStartedError,
  WorkflowUpdateFailedError,
} from '@temporalio/client';
import { AtbError } from '../../domain/error';
import { proposalId } from '../../domain/proposal-digest';
import type { Proposed, ProposalStatus, SignOffAnswer } from '../../domain/proposal';
import {
  ATB_STATE,
  PROPOSAL,
  proposalIdOf,
  proposalQuery,
  proposalWorkflowId,
  proposedUpdate,
  signOffUpdate,
  TASK_QUEUE,
} from '../../workflows/contract';
import type { ProposalWorkflow } from '../../workflows/contract';
import { failureOf, TemporalCalls } from './temporal-calls';

const ID = /^[a-z0-9_-]+\.[a-z0-9_-]+\.[A-Za-z0-9_-]{22}$/;

/** The way to the workflows in which people sign things off. It starts, asks and passes on; it decides nothing. */
export class Proposals extends TemporalCalls {
  private readonly sharesWorker: boolean;

  constructor(client: Client, decisionTimeoutMs: number) {
    super(client, decisionTimeoutMs, unknownProposal);
    // An eager start needs the worker's own connection; asked for on any other, it fails.
    this.sharesWorker = !(client.connection instanceof Connection);
  }

  /** The same statement again joins the proposal that it made. */
  async propose(proposed: Proposed, statement: string): Promise<SignOffAnswer> {
    const id = proposalId(proposed, statement);
    try {
      await this.within(this.decisionTimeoutMs, () =>
        this.client.workflow.start<ProposalWorkflow>(PROPOSAL, {
          workflowId: proposalWorkflowId(id),
          taskQueue: TASK_QUEUE,
          args: [{ id, proposed, statement }],
          workflowIdReusePolicy: 'REJECT_DUPLICATE',
          requestEagerStart: this.sharesWorker,
          staticSummary: `${proposed.kind} · ${proposed.name}`,
          typedSearchAttributes: [{ key: ATB_STATE, value: 'pending' }],
        }),
      );
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw this.outOfReach(error, undefined);
    }
    return this.answer(id, (handle) => handle.executeUpdate(proposedUpdate));
  }

  signOff(id: string, statement: string): Promise<SignOffAnswer> {
    return this.answer(id, (handle) => handle.executeUpdate(signOffUpdate, { args: [{ statement }] }));
  }

  /** Throws `proposal_unknown`, `worker_unavailable`, `temporal_unavailable`. */
  status(id: string): Promise<ProposalStatus> {
    return this.reaching(() => this.handle(id).query(proposalQuery));
  }

  /** The newest, as far as one look goes. */
  list(): Promise<readonly ProposalStatus[]> {
    return this.listed(`WorkflowType = '${PROPOSAL}'`, proposalIdOf, (id) => this.status(id));
  }

  private async answer(
    id: string,
    call: (handle: ReturnType<Proposals['handle']>) => Promise<SignOffAnswer>,
  ): Promise<SignOffAnswer> {
    try {
      return await this.within(this.decisionTimeoutMs, () => call(this.handle(id)));
    } catch (error) {
      if (error instanceof AtbError) throw error;
      if (error instanceof WorkflowUpdateFailedError) throw failureOf(error.cause, undefined);
      // Over already: where it stands is told, and a word on it is too late.
      const status = await this.status(id).catch(() => undefined);
      if (status === undefined || status.state === 'pending') throw this.outOfReach(error, undefined);
      return {
        ...{ done: false, code: 'proposal_finished', message: `the proposal is ${status.state}` },
        reasons: status.reasons,
      };
    }
  }

  private handle(id: string) {
    if (!ID.test(id)) throw unknownProposal();
    return this.client.workflow.getHandle<ProposalWorkflow>(proposalWorkflowId(id));
  }
}

function unknownProposal(): AtbError {
  return new AtbError('proposal_unknown', 'there is no such proposal, or it is not yours to see');
}
