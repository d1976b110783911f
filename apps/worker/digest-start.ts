import { Logger } from '@nestjs/common';
import { Client } from '@temporalio/client';
import type { CodecKeys } from '../../adapters/temporal/codec-keys';
import { sealedDataConverter } from '../../adapters/temporal/data-converter';
import { DIGEST, TASK_QUEUE } from '../../workflows/contract';
import { repeatedly } from './repeatedly';
import type { Repeated } from './repeatedly';
import type { TemporalConnection } from './temporal-connection';

const LOOK_AGAIN_MS = 600_000;

/** Sees to it that the one workflow of digests runs, whoever ended it: at the start, and now and then. */
export class DigestStart {
  private readonly log = new Logger(DigestStart.name);
  private starting: Repeated | undefined;

  constructor(
    private readonly connection: TemporalConnection,
    private readonly namespace: string,
    private readonly codecKeys: CodecKeys,
  ) {}

  start(): void {
    this.starting = repeatedly(
      { everyMs: LOOK_AGAIN_MS, atOnce: true },
      () => this.ensure(),
      (error) => {
        this.log.warn(`digests are not under way: ${String(error)}; trying again`);
      },
    );
  }

  /** Resolves when nothing is under way any more. */
  async close(): Promise<void> {
    await this.starting?.close();
  }

  private async ensure(): Promise<void> {
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
  }
}
