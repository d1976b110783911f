import type { Client } from '@temporalio/client';
import { closeLost, recordReset } from '../../activities';
import type { ActivityPorts } from '../../activities';
import { listedExecutions } from '../../adapters/temporal/listed-workflows';
import { POA_REQUEST, poaRequestWorkflowId } from '../../workflows/contract';
import { resetsAmong } from './reset-requests';
import { LostWorkflows } from './lost-workflows';
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
export class LostRequests extends LostWorkflows<Ports> {
  protected readonly what = 'open requests';
  protected readonly everyMs = LOOK_EVERY_MS;
  private resetsSince = new Date(Date.now() - LOOK_BACK_MS);

  /** Ends every request whose workflow is gone, and records what was reset; answers how many were ended. */
  look(): Promise<number> {
    return this.lookWith(this.client());
  }

  protected async lookWith(client: Client): Promise<number> {
    const open = await this.ports.ledger.openRequests(MOST_OPEN);
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
