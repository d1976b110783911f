import { Logger } from '@nestjs/common';
import { Client } from '@temporalio/client';
import type { ConnectionLike } from '@temporalio/client';
import { closeLost, recordReset } from '../../activities';
import type { ActivityPorts } from '../../activities';
import type { CodecKeys } from '../../adapters/temporal/codec-keys';
import { sealedDataConverter } from '../../adapters/temporal/data-converter';
import { listedExecutions } from '../../adapters/temporal/listed-workflows';
import { POA_REQUEST, poaRequestWorkflowId } from '../../workflows/contract';
import { resetsAmong } from './reset-requests';
import { repeatedly } from './repeatedly';
import type { Repeated } from './repeatedly';
import { lossOf } from './workflow-loss';

const LOOK_EVERY_MS = 60_000;
// What was reset while no worker ran.
const LOOK_BACK_MS = 24 * 3_600_000;
const MOST_OPEN = 10_000;
const LISTED_AT_ONCE = 1_000;
const MOST_CLOSED_AT_ONCE = 200;

type Ports = Pick<ActivityPorts, 'ledger' | 'clock' | 'policy' | 'notifier'>;

/**
 * Compares what the database waits for with what Temporal runs: who terminates or deletes a workflow runs no code of
 * ours, and the audit log is to say what happened all the same. Visibility, which lags and can be edited, only chooses
 * what is looked at; each workflow itself says how it stands.
 */
export class LostRequests {
  private readonly log = new Logger(LostRequests.name);
  private looking: Repeated | undefined;
  private resetsSince = new Date(Date.now() - LOOK_BACK_MS);

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
        this.log.warn(`what became of open requests is not known: ${String(error)}; looking again`);
      },
    );
  }

  /** Resolves when nothing is under way any more. */
  async close(): Promise<void> {
    await this.looking?.close();
  }

  /** Ends every request whose workflow is gone, and records what was reset; answers how many were ended. */
  async look(): Promise<number> {
    const open = await this.ports.ledger.openRequests(MOST_OPEN);
    const client = new Client({
      connection: this.connection.current,
      namespace: this.namespace,
      // Not refused: a memo of somebody else's must not keep this from looking.
      dataConverter: sealedDataConverter(this.codecKeys, 'mark'),
    });
    const running = new Set<string>();
    const { workflowService } = client;
    const at = { workflowService, namespace: this.namespace };
    const query = `WorkflowType = '${POA_REQUEST}' AND ExecutionStatus = 'Running'`;
    for await (const { execution } of listedExecutions({ ...at, query, pageSize: LISTED_AT_ONCE })) {
      running.add(execution?.workflowId ?? '');
    }
    await this.recordResets({ ...at, running, open: new Set(open.map(({ requestId }) => requestId)) });
    const unlisted = open.filter(({ requestId }) => !running.has(poaRequestWorkflowId(requestId)));
    let closed = 0;
    for (const request of unlisted.slice(0, MOST_CLOSED_AT_ONCE)) {
      const loss = await lossOf(client, poaRequestWorkflowId(request.requestId));
      if (loss !== null && (await closeLost(this.ports, request, loss.how))) closed += 1;
    }
    if (closed > 0) this.log.warn(`${closed} requests were ended, because their workflows are gone`);
    return closed;
  }

  private async recordResets(looking: Omit<Parameters<typeof resetsAmong>[0], 'since'>): Promise<void> {
    const began = this.ports.clock();
    for (const reset of await resetsAmong({ ...looking, since: this.resetsSince })) {
      await recordReset(this.ports, reset);
    }
    // Visibility lags: a minute is looked at twice, and recorded once.
    this.resetsSince = new Date(began.getTime() - LOOK_EVERY_MS);
  }
}
