import { Injectable, Logger } from '@nestjs/common';
import type { OnApplicationBootstrap, OnApplicationShutdown } from '@nestjs/common';
import { bundleWorkflowCode, Runtime, Worker } from '@temporalio/worker';
import type { NativeConnection, WorkerOptions, WorkflowBundleWithSourceMap } from '@temporalio/worker';
import { createActivities, createIncidentActivities, createProposalActivities } from '../../activities';
import type { ActivityPorts, ProposalPorts } from '../../activities';
import { sealedDataConverter } from '../../adapters/temporal/data-converter';
import type { CodecKeys } from '../../adapters/temporal/codec-keys';
import { DigestStart } from './digest-start';
import { LostRequests } from './lost-requests';
import type { WorkerMetrics } from './metrics';
import { PolicyMoves } from './policy-moves';
import { RetentionSchedule } from './retention-schedule';
import type { TemporalConnection } from './temporal-connection';
import { TASK_QUEUE } from '../../workflows/contract';

export interface TemporalWorkerOptions {
  readonly connection: TemporalConnection;
  readonly namespace: string;
  readonly codecKeys: CodecKeys;
  readonly ports: ActivityPorts & ProposalPorts;
  readonly metrics: WorkerMetrics;
  readonly maxConcurrentWorkflowTasks: number;
  readonly maxCachedWorkflows: number;
  /** Told when the worker stops by itself: without it nothing is decided, so the process must end. */
  readonly onFatal: (error: unknown) => void;
}

// Steps in flight end by themselves within their seven seconds.
const SHUTDOWN_GRACE = '10 seconds';

/** Options shared by the service and by the replay of recorded histories. */
export function workflowOptions(): Required<Pick<WorkerOptions, 'workflowsPath' | 'bundlerOptions'>> {
  const workflowsPath = require.resolve('../../workflows');
  // Evaluated once for all workflows rather than once for each: none of our modules has state at its top level.
  return { workflowsPath, bundlerOptions: { preloadModules: [workflowsPath] } };
}

interface Serving {
  readonly worker: Worker;
  readonly ended: Promise<void>;
}

/** The Temporal worker as a Nest provider: it polls from bootstrap until shutdown. */
@Injectable()
export class TemporalWorker implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly log = new Logger(TemporalWorker.name);
  private bundle: WorkflowBundleWithSourceMap | undefined;
  private serving: Serving | undefined;
  private moving: Promise<void> = Promise.resolve();
  private stay: () => void = () => undefined;
  private stopping = false;
  private moves: PolicyMoves | undefined;
  private digests: DigestStart | undefined;
  private lost: LostRequests | undefined;
  private retention: RetentionSchedule | undefined;

  constructor(private readonly options: TemporalWorkerOptions) {}

  async onApplicationBootstrap(): Promise<void> {
    const { connection, namespace, codecKeys, ports } = this.options;
    const starting = this.serve(connection.current).then((serving) => {
      this.serving = serving;
    });
    this.moving = starting;
    this.stay = connection.onRenewal((renewed) => {
      this.moving = this.moving.catch(() => undefined).then(() => this.moveTo(renewed));
      return this.moving;
    });
    await starting;
    this.moves = new PolicyMoves(ports.policy, connection, namespace, codecKeys);
    this.moves.start();
    this.digests = new DigestStart(connection, namespace, codecKeys);
    this.digests.start();
    this.lost = new LostRequests(ports, connection, namespace, codecKeys);
    this.lost.start();
    this.retention = new RetentionSchedule(connection, namespace);
    this.retention.start();
  }

  /** True while workflow tasks are taken. */
  get isRunning(): boolean {
    return this.serving?.worker.getState() === 'RUNNING';
  }

  async onApplicationShutdown(): Promise<void> {
    this.stopping = true;
    this.stay();
    await this.moves?.close();
    await this.digests?.close();
    await this.lost?.close();
    await this.retention?.close();
    await this.moving.catch(() => undefined);
    if (this.serving) await stop(this.serving);
  }

  private async serve(connection: NativeConnection): Promise<Serving> {
    const { namespace, codecKeys, ports, metrics } = this.options;
    const dataConverter = sealedDataConverter(codecKeys, 'mark');
    const { workflowsPath, bundlerOptions } = workflowOptions();
    this.bundle ??= await bundleWorkflowCode({
      workflowsPath,
      ...bundlerOptions,
      failureConverterPath: dataConverter.failureConverterPath,
      logger: Runtime.instance().logger,
    });
    const worker = await Worker.create({
      workflowBundle: this.bundle,
      connection,
      namespace,
      taskQueue: TASK_QUEUE,
      activities: {
        ...metrics.measured(createActivities(ports)),
        ...createProposalActivities(ports),
        ...createIncidentActivities(ports),
      },
      dataConverter,
      maxConcurrentWorkflowTaskExecutions: this.options.maxConcurrentWorkflowTasks,
      maxConcurrentActivityTaskExecutions: this.options.maxConcurrentWorkflowTasks,
      maxConcurrentLocalActivityExecutions: this.options.maxConcurrentWorkflowTasks,
      maxCachedWorkflows: this.options.maxCachedWorkflows,
      shutdownGraceTime: SHUTDOWN_GRACE,
    });
    const ended = worker.run();
    ended.catch((error: unknown) => {
      this.log.error('the worker stopped by itself', error instanceof Error ? error.stack : String(error));
      this.options.onFatal(error);
    });
    return { worker, ended };
  }

  /**
   * Another worker takes over before this one stops taking work. Handing the connection to the same worker would not do:
   * a poll that is under way stays on the old one, and would try it again for ever where it breaks.
   */
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
