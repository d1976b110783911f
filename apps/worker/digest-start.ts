import { Logger } from '@nestjs/common';
import { Client } from '@temporalio/client';
import type { CodecKeys } from '../../adapters/temporal/codec-keys';
import { sealedDataConverter } from '../../adapters/temporal/data-converter';
import { DIGEST, TASK_QUEUE } from '../../workflows/contract';
import type { TemporalConnection } from './temporal-connection';

const LOOK_AGAIN_MS = 600_000;

/** Sees to it that the one workflow of digests runs, whoever ended it: at the start, and now and then. */
export class DigestStart {
  private readonly log = new Logger(DigestStart.name);
  private again: NodeJS.Timeout | undefined;
  private starting: Promise<void> = Promise.resolve();

  constructor(
    private readonly connection: TemporalConnection,
    private readonly namespace: string,
    private readonly codecKeys: CodecKeys,
  ) {}

  start(): void {
    this.starting = this.ensure();
    this.again = setInterval(() => {
      this.starting = this.starting.then(() => this.ensure());
    }, LOOK_AGAIN_MS);
    this.again.unref();
  }

  /** Resolves when nothing is under way any more. */
  async close(): Promise<void> {
    clearInterval(this.again);
    await this.starting;
  }

  private async ensure(): Promise<void> {
    try {
      const client = new Client({
        connection: this.connection.current,
        namespace: this.namespace,
        dataConverter: sealedDataConverter(this.codecKeys, 'throw'),
      });
      await client.workflow.start(DIGEST, {
        workflowId: DIGEST,
        taskQueue: TASK_QUEUE,
        args: [],
        workflowIdConflictPolicy: 'USE_EXISTING',
        staticSummary: 'tells the teams that are Informed what was issued',
      });
    } catch (error) {
      this.log.warn(`digests are not under way: ${String(error)}; trying again`);
    }
  }
}
