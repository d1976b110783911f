import { Logger } from '@nestjs/common';
import type { NativeConnection, Worker } from '@temporalio/worker';
import type { TemporalConnection } from './temporal-connection';

interface Serving {
  readonly worker: Worker;
  readonly ended: Promise<void>;
}

/**
 * Takes work from Temporal from its start until it is stopped, on the connection of the moment. Another worker takes
 * over before the one on the old connection stops taking work. Handing the connection to the same worker would not do:
 * a poll that is under way stays on the old one, and would try it again for ever where it breaks.
 */
export class Polling {
  private readonly log = new Logger('Worker');
  private serving: Serving | undefined;
  private moving: Promise<void> = Promise.resolve();
  private stay: () => void = () => undefined;
  private stopping = false;

  constructor(
    private readonly connection: TemporalConnection,
    private readonly create: (connection: NativeConnection) => Promise<Worker>,
    /** Told when the worker stops by itself: without it nothing is decided, so the process must end. */
    private readonly onFatal: (error: unknown) => void,
  ) {}

  async start(): Promise<void> {
    const starting = this.serve(this.connection.current).then((serving) => {
      this.serving = serving;
    });
    this.moving = starting;
    this.stay = this.connection.onRenewal((renewed) => {
      this.moving = this.moving.catch(() => undefined).then(() => this.moveTo(renewed));
      return this.moving;
    });
    await starting;
  }

  /** True while tasks are taken. */
  get isRunning(): boolean {
    return this.serving?.worker.getState() === 'RUNNING';
  }

  /** No renewal is followed any more. */
  leave(): void {
    this.stopping = true;
    this.stay();
  }

  /** Resolves when the steps in flight have ended. */
  async stop(): Promise<void> {
    this.leave();
    await this.moving.catch(() => undefined);
    if (this.serving) await stop(this.serving);
  }

  private async serve(connection: NativeConnection): Promise<Serving> {
    const worker = await this.create(connection);
    const ended = worker.run();
    ended.catch((error: unknown) => {
      this.log.error('the worker stopped by itself', error instanceof Error ? error.stack : String(error));
      this.onFatal(error);
    });
    return { worker, ended };
  }

  private async moveTo(connection: NativeConnection): Promise<void> {
    const before = this.serving;
    if (this.stopping || !before) return;
    this.serving = await this.serve(connection);
    await stop(before);
  }
}

async function stop({ worker, ended }: Serving): Promise<void> {
  if (worker.getState() === 'RUNNING') worker.shutdown();
  await ended;
}
