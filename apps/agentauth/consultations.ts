import type { Client } from '@temporalio/client';
import { WorkflowUpdateFailedError } from '@temporalio/client';
import { consultationId } from '../../domain/consultation';
import type { ConsultationAnswer, ConsultationStatus, ConsultedMatter } from '../../domain/consultation';
import { AtbError, isAtbError } from '../../domain/error';
import {
  CONSULTATION,
  consultationAnswerUpdate,
  consultationIdOf,
  consultationQuery,
  consultationWorkflowId,
} from '../../workflows/contract';
import type { ConsultationWorkflow } from '../../workflows/contract';
import { failureOf, TemporalCalls } from './temporal-calls';

const ID = /^(request|proposal|incident)\.[A-Za-z0-9_.-]{1,240}$/;

/** The way to what teams are asked (RACI). It asks and passes on; it decides nothing. */
export class Consultations extends TemporalCalls {
  constructor(client: Client, decisionTimeoutMs: number) {
    super(client, decisionTimeoutMs, unknownConsultation);
  }

  async answer(id: string, statement: string): Promise<ConsultationAnswer> {
    try {
      return await this.within(this.decisionTimeoutMs, () =>
        this.handle(id).executeUpdate(consultationAnswerUpdate, { args: [{ statement }] }),
      );
    } catch (error) {
      if (error instanceof AtbError) throw error;
      if (error instanceof WorkflowUpdateFailedError) throw failureOf(error.cause, undefined);
      // Over already, or never begun: what is not there is told as such.
      const status = await this.status(id);
      if (status.state !== 'over') throw this.outOfReach(error, undefined);
      return { done: false, code: 'consultation_over', message: 'the time to answer is over', reasons: [] };
    }
  }

  /** Throws `consultation_unknown`, `worker_unavailable`, `temporal_unavailable`. */
  status(id: string): Promise<ConsultationStatus> {
    return this.reaching(() => this.handle(id).query(consultationQuery));
  }

  /** Of something that people work on; null where nobody was asked about it. */
  async about(matter: Omit<ConsultedMatter, 'title'>): Promise<ConsultationStatus | null> {
    try {
      return await this.status(consultationId(matter));
    } catch (error) {
      if (isAtbError(error) && error.code === 'consultation_unknown') return null;
      throw error;
    }
  }

  /** Those that are not over, the newest first, as far as one look goes. */
  list(): Promise<readonly ConsultationStatus[]> {
    return this.listed(
      `WorkflowType = '${CONSULTATION}' AND ExecutionStatus = 'Running'`,
      consultationIdOf,
      (id) => this.status(id),
    );
  }

  private handle(id: string) {
    if (!ID.test(id)) throw unknownConsultation();
    return this.client.workflow.getHandle<ConsultationWorkflow>(consultationWorkflowId(id));
  }
}

function unknownConsultation(): AtbError {
  return new AtbError('consultation_unknown', 'there is no such consultation, or it is not yours to see');
}
