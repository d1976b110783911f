import type { Client } from '@temporalio/client';
import { WorkflowUpdateFailedError } from '@temporalio/client';
import { AtbError } from '../../domain/error';
import type { IncidentAnswer, IncidentReport, IncidentStatus } from '../../domain/incident';
import {
  INCIDENT,
  incidentIdOf,
  incidentOpenedUpdate,
  incidentQuery,
  incidentWordUpdate,
  incidentWorkflowId,
} from '../../workflows/contract';
import type { IncidentWordSubmission, IncidentWorkflow } from '../../workflows/contract';
import { reportIncident } from '../incident-report';
import { failureOf, TemporalCalls } from './temporal-calls';

const ID = /^[A-Za-z][A-Za-z0-9_]*\.[A-Za-z0-9_-]{22}$/;

/** The way to the incidents. It starts, asks and passes on; it decides nothing. */
export class Incidents extends TemporalCalls {
  constructor(client: Client, decisionTimeoutMs: number) {
    super(client, decisionTimeoutMs, unknownIncident);
  }

  /** Joins the incident of the same kind and cause that is open, or opens one; each sighting counts once. */
  async report(
    report: IncidentReport,
    sightings: readonly string[],
    atLeast?: number,
  ): Promise<IncidentAnswer> {
    const id = await this.reaching(() => reportIncident(this.client, report, sightings, atLeast));
    return this.answer(id, (handle) => handle.executeUpdate(incidentOpenedUpdate));
  }

  word(id: string, submission: IncidentWordSubmission): Promise<IncidentAnswer> {
    return this.answer(id, (handle) => handle.executeUpdate(incidentWordUpdate, { args: [submission] }));
  }

  /** Throws `incident_unknown`, `worker_unavailable`, `temporal_unavailable`. */
  status(id: string): Promise<IncidentStatus> {
    return this.reaching(() => this.handle(id).query(incidentQuery));
  }

  /** Those that are not over, the newest first, as far as one look goes. */
  list(): Promise<readonly IncidentStatus[]> {
    return this.listed(`WorkflowType = '${INCIDENT}' AND ExecutionStatus = 'Running'`, incidentIdOf, (id) =>
      this.status(id),
    );
  }

  private async answer(
    id: string,
    call: (handle: ReturnType<Incidents['handle']>) => Promise<IncidentAnswer>,
  ): Promise<IncidentAnswer> {
    try {
      return await this.within(this.decisionTimeoutMs, () => call(this.handle(id)));
    } catch (error) {
      if (error instanceof AtbError) throw error;
      if (error instanceof WorkflowUpdateFailedError) throw failureOf(error.cause, undefined);
      // Over already: where it stands is told, and a word on it is too late.
      const status = await this.status(id).catch(() => undefined);
      if (status?.state !== 'closed' && status?.state !== 'refused') throw this.outOfReach(error, undefined);
      return {
        ...{ done: false, code: 'incident_not_due', message: `the incident is ${status.state}` },
        reasons: status.reasons,
      };
    }
  }

  private handle(id: string) {
    if (!ID.test(id)) throw unknownIncident();
    return this.client.workflow.getHandle<IncidentWorkflow>(incidentWorkflowId(id));
  }
}

function unknownIncident(): AtbError {
  return new AtbError('incident_unknown', 'there is no such incident, or it is not yours to see');
}
