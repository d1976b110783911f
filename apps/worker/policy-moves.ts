import { Logger } from '@nestjs/common';
import { Client, WorkflowNotFoundError } from '@temporalio/client';
import type { CodecKeys } from '../../adapters/temporal/codec-keys';
import { sealedDataConverter } from '../../adapters/temporal/data-converter';
import { listedWorkflows } from '../../adapters/temporal/listed-workflows';
import { visible } from '../../domain/foreign-text';
import type { PolicyEngine } from '../../domain/ports';
import { POA_REQUEST, policyMovedSignal, TASK_QUEUE } from '../../workflows/contract';
import type { TemporalConnection } from './temporal-connection';

const TRY_AGAIN_MS = 10_000;
const LISTED_AT_ONCE = 1_000;

/**
 * Tells requests that wait that another policy decides: whenever one is loaded, and when a worker starts, as it may
 * have been loaded meanwhile. A request that hears it twice does nothing the second time.
 */
export class PolicyMoves {
  private readonly log = new Logger(PolicyMoves.name);
  private unhear: () => void = () => undefined;
  private again: NodeJS.Timeout | undefined;
  private telling: Promise<void> = Promise.resolve();
  private closed = false;

  constructor(
    private readonly policy: PolicyEngine,
    private readonly connection: TemporalConnection,
    private readonly namespace: string,
    private readonly codecKeys: CodecKeys,
  ) {}

  start(): void {
    this.unhear = this.policy.onChange(({ change }) => {
      if (change === 'loaded') this.tell();
    });
    this.tell();
  }

  /** Resolves when nothing is under way any more. */
  async close(): Promise<void> {
    this.closed = true;
    this.unhear();
    clearTimeout(this.again);
    await this.telling;
  }

  private tell(): void {
    clearTimeout(this.again);
    this.telling = this.telling.then(() => this.tellAll());
  }

  private async tellAll(): Promise<void> {
    const { revision } = this.policy;
    const query =
      `WorkflowType = '${POA_REQUEST}' AND ExecutionStatus = 'Running' AND AtbState IN ('pending', 'approved') ` +
      `AND AtbPolicyRevision != '${revision}' AND TaskQueue = '${TASK_QUEUE}'`;
    try {
      const client = new Client({
        connection: this.connection.current,
        namespace: this.namespace,
        dataConverter: sealedDataConverter(this.codecKeys, 'throw'),
      });
      const { workflowService } = client;
      const listing = { workflowService, namespace: this.namespace, query, pageSize: LISTED_AT_ONCE };
      const foreign = (id: string) => {
        this.log.warn(`${visible(id)} was not started by ATB: its memo is not sealed for it; it is left out`);
      };
      let told = 0;
      let missed: unknown;
      for await (const { workflowId } of listedWorkflows(listing, foreign)) {
        if (this.closed) return;
        try {
          await client.workflow.getHandle(workflowId).signal(policyMovedSignal, { revision });
          told += 1;
        } catch (error) {
          // Over by now: what visibility lists is a little behind. Any other, such as one that was sent all the signals
          // that it takes, must not keep those after it from hearing.
          if (!(error instanceof WorkflowNotFoundError)) missed = error;
        }
      }
      if (told > 0) this.log.log(`policy ${revision}: ${told} waiting requests are classified again`);
      if (missed !== undefined) throw missed as Error;
    } catch (error) {
      if (this.closed) return;
      this.log.warn(`waiting requests were not told of policy ${revision}: ${String(error)}; trying again`);
      this.again = setTimeout(() => {
        this.tell();
      }, TRY_AGAIN_MS);
      this.again.unref();
    }
  }
}
