import { Logger } from '@nestjs/common';
import { Client } from '@temporalio/client';
import type { ConnectionLike } from '@temporalio/client';
import type { CodecKeys } from '../../adapters/temporal/codec-keys';
import { sealedDataConverter } from '../../adapters/temporal/data-converter';
import { repeatedly } from './repeatedly';
import type { Repeated } from './repeatedly';

/**
 * Compares now and then what the database says is under way with what Temporal runs: who terminates or deletes a workflow
 * runs no code of ours.
 */
export abstract class LostWorkflows<Ports> {
  protected readonly log = new Logger(this.constructor.name);
  private looking: Repeated | undefined;

  /** What it looks for, in words. */
  protected abstract readonly what: string;
  protected abstract readonly everyMs: number;

  constructor(
    protected readonly ports: Ports,
    private readonly connection: { readonly current: ConnectionLike },
    protected readonly namespace: string,
    private readonly codecKeys: CodecKeys,
  ) {}

  start(): void {
    this.looking = repeatedly(
      { everyMs: this.everyMs },
      () => this.lookWith(this.client()),
      (error) => {
        this.log.warn(`what became of ${this.what} is not known: ${String(error)}; looking again`);
      },
    );
  }

  /** Resolves when nothing is under way any more. */
  async close(): Promise<void> {
    await this.looking?.close();
  }

  protected abstract lookWith(client: Client): Promise<unknown>;

  protected client(): Client {
    return new Client({
      connection: this.connection.current,
      namespace: this.namespace,
      // Not refused: a memo of somebody else's must not keep this from looking.
      dataConverter: sealedDataConverter(this.codecKeys, 'mark'),
    });
  }
}
