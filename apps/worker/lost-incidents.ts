import type { Client } from '@temporalio/client';
import { recordLostIncident } from '../../activities';
import type { ActivityPorts } from '../../activities';
import type { PostgresIncidentWatch } from '../../adapters/postgres/incident-watch';
import { incidentWorkflowId } from '../../workflows/contract';
import { LostWorkflows } from './lost-workflows';
import { lossOf } from './workflow-loss';

const LOOK_EVERY_MS = 15_000;
const MOST = 500;

type Ports = Pick<ActivityPorts, 'ledger' | 'clock'> & {
  readonly watched: Pick<PostgresIncidentWatch, 'unclosed'>;
};

/**
 * Compares the incidents that nobody has reviewed with what Temporal runs: who terminates or deletes a workflow runs no
 * code of ours, and its ladder calls nobody any more. It is recorded, and that opens an incident of its own.
 */
export class LostIncidents extends LostWorkflows<Ports> {
  protected readonly what = 'incidents';
  protected readonly everyMs = LOOK_EVERY_MS;

  protected async lookWith(client: Client): Promise<void> {
    const { watched } = this.ports;
    for (const incident of await watched.unclosed(MOST)) {
      const loss = await lossOf(client, incidentWorkflowId(incident.id));
      if (loss === null) continue;
      // One that was reviewed since the first look has ended by itself: it is recorded before its workflow ends.
      const isOpen = (await watched.unclosed(MOST)).some(
        ({ id, openedAt }) => id === incident.id && openedAt === incident.openedAt,
      );
      if (!isOpen) continue;
      await recordLostIncident(this.ports, incident, loss.how);
      this.log.warn(`the workflow of the incident ${incident.id} is gone (${loss.how})`);
    }
  }
}
