import type { Client } from '@temporalio/client';
import { sha256Base64url } from '../domain/digest';
import { incidentId } from '../domain/incident-digest';
import type { IncidentReport } from '../domain/incident';
import {
  ATB_STATE,
  INCIDENT,
  incidentSightedSignal,
  incidentWorkflowId,
  TASK_QUEUE,
} from '../workflows/contract';

/** A report of more counts as so many. */
const MOST_SIGHTINGS = 200;

/** Joins the incident of the same kind and cause, or starts one; each sighting counts once. Answers its id. */
export async function reportIncident(
  client: Client,
  report: IncidentReport,
  sightings: readonly string[],
): Promise<string> {
  const { matter } = report;
  const id = incidentId(matter);
  await client.workflow.signalWithStart(INCIDENT, {
    workflowId: incidentWorkflowId(id),
    taskQueue: TASK_QUEUE,
    args: [{ id, report }],
    signal: incidentSightedSignal,
    signalArgs: [{ sightings: sightings.slice(0, MOST_SIGHTINGS).map((one) => sha256Base64url(one)) }],
    staticSummary: `incident · ${matter.kind}`,
    typedSearchAttributes: [{ key: ATB_STATE, value: 'open' }],
  });
  return id;
}
