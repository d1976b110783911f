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

/** More than a body of a message holds. */
const MOST_SIGHTINGS = 1_000;
/** Of a digest: 96 bits tell the alerts of a storm apart, and an incident remembers many. */
const SIGHTING_CHARACTERS = 16;

/** Joins the incident of the same kind and cause, or starts one; each sighting counts once, and they are no fewer than `atLeast`. Answers its id. */
export async function reportIncident(
  client: Client,
  report: IncidentReport,
  sightings: readonly string[],
  atLeast = 0,
): Promise<string> {
  const { matter } = report;
  const id = incidentId(matter);
  await client.workflow.signalWithStart(INCIDENT, {
    workflowId: incidentWorkflowId(id),
    taskQueue: TASK_QUEUE,
    args: [{ id, report }],
    signal: incidentSightedSignal,
    signalArgs: [
      {
        sightings: sightings
          .slice(0, MOST_SIGHTINGS)
          .map((one) => sha256Base64url(one).slice(0, SIGHTING_CHARACTERS)),
        ...(atLeast > 0 && { atLeast }),
      },
    ],
    staticSummary: `incident · ${matter.kind}`,
    typedSearchAttributes: [{ key: ATB_STATE, value: 'open' }],
  });
  return id;
}
