import { Client } from '@temporalio/client';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import type { Worker } from '@temporalio/worker';
import { SEARCH_ATTRIBUTES } from '../../adapters/temporal/server-settings';
import { TASK_QUEUE } from '../../workflows/contract';
import { hasJava, timeSkippingServer } from './time-skipping';

const MOST_TRIES = 5;

type Step = (input: never) => Promise<unknown>;

/** As `describe` where this machine can have the server; elsewhere nothing of the suite runs, and it says so. */
export function describeSkippedTime(title: string, suite: () => void): void {
  if (hasJava) {
    describe(title, suite);
    return;
  }
  process.stderr.write(`NOT RUN: ${title}: there is no Java with Maven here\n`);
  it.skip(`${title}: there is no Java with Maven here`, suite);
}

/** A Temporal whose clock skips to whatever is next while a test sleeps, and workers of ours on it. */
export class SkippedTime {
  private readonly workers: { readonly worker: Worker; readonly running: Promise<void> }[] = [];

  private constructor(private readonly environment: TestWorkflowEnvironment) {}

  static async start(): Promise<SkippedTime> {
    const { DefaultLogger, Runtime } = await import('@temporalio/worker');
    Runtime.install({ logger: new DefaultLogger('ERROR'), shutdownSignals: [] });
    const environment = await started();
    await environment.connection.operatorService.addSearchAttributes({
      namespace: environment.namespace ?? 'default',
      searchAttributes: Object.fromEntries(
        Object.entries(SEARCH_ATTRIBUTES).map(([name, type]) => [name, type === 'Keyword' ? 2 : 7]),
      ),
    });
    return new SkippedTime(environment);
  }

  /** Whose waiting skips nothing: only a test that sleeps does. */
  get client(): Client {
    const { connection, namespace = 'default' } = this.environment;
    return new Client({ connection, namespace });
  }

  /** Waits for a workflow's end, and skips whatever lies before it, or after it where nothing else is to come. */
  get skippingClient() {
    return this.environment.client;
  }

  async now(): Promise<Date> {
    return new Date(await this.environment.currentTimeMs());
  }

  sleep(time: number | string): Promise<void> {
    return this.environment.sleep(time);
  }

  /** Sleeps until then, if that is still to come. */
  async until(moment: Date): Promise<void> {
    await this.sleep(Math.max(0, moment.getTime() - (await this.environment.currentTimeMs())));
  }

  /** A worker whose steps hear the server's time before they begin. */
  async work(
    steps: object,
    heard: (now: Date, name: string, input: never) => void,
    taskQueue: string = TASK_QUEUE,
  ): Promise<void> {
    const { Worker: WorkerOf } = await import('@temporalio/worker');
    const worker = await WorkerOf.create({
      connection: this.environment.nativeConnection,
      namespace: this.environment.namespace ?? 'default',
      taskQueue,
      ...(taskQueue === TASK_QUEUE && { workflowsPath: require.resolve('../../workflows') }),
      activities: Object.fromEntries(
        Object.entries(steps as Record<string, Step>).map(([name, step]) => [
          name,
          async (input: never) => {
            heard(await this.now(), name, input);
            return step(input);
          },
        ]),
      ),
    });
    this.workers.push({ worker, running: worker.run() });
  }

  async stop(): Promise<void> {
    for (const { worker } of this.workers) worker.shutdown();
    for (const { running } of this.workers) await running;
    await this.environment.teardown();
  }
}

/** The server is given five seconds to start, which is short where the machine is busy: then again. */
async function started(): Promise<TestWorkflowEnvironment> {
  const { TestWorkflowEnvironment: Environment } = await import('@temporalio/testing');
  for (let tries = 1; ; tries++) {
    try {
      return await Environment.createTimeSkipping({
        server: { executable: { type: 'existing-path', path: await timeSkippingServer() } },
      });
    } catch (error) {
      if (tries === MOST_TRIES || !String(error).includes('did not start within')) throw error;
    }
  }
}
