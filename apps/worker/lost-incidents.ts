import { Logger } from '@nestjs/common';
import { Client } from '@temporalio/client';
import type { ConnectionLike } from '@temporalio/client';
import { recordLostIncident } from '../../activities';
import type { ActivityPorts } from '../../activities';
import type { PostgresIncidentWatch } from '../../adapters/postgres/incident-watch';
import type { CodecKeys } from '../../adapters/temporal/codec-keys';
import { sealedDataConverter } from '../../adapters/temporal/data-converter';
import { incidentWorkflowId } from '../../workflows/contract';
import { repeatedly } from './repeatedly';
import type { Repeated } from './repeatedly';
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
export class LostIncidents {
  private readonly log = new Logger(LostIncidents.name);
  private looking: Repeated | undefined;

  constructor(
    private readonly ports: Ports,
    private readonly connection: { readonly current: ConnectionLike },
    private readonly namespace: string,
    private readonly codecKeys: CodecKeys,
  ) {}

  start(): void {
    this.looking = repeatedly(
      { everyMs: LOOK_EVERY_MS },
      () => this.look(),
      (error) => {
        this.log.warn(`what became of incidents is not known: ${String(error)}; looking again`);
      },
    );
  }

  /** Resolves when nothing is under way any more. */
  async close(): Promise<void> {
    await this.looking?.close();
  }

  private async look(): Promise<void> {
    const { watched } = this.ports;
    const client = new Client({
      connection: this.connection.current,
      namespace: this.namespace,
      // Not refused: a memo of somebody else's must not keep this from looking.
      dataConverter: sealedDataConverter(this.codecKeys, 'mark'),
    });
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
