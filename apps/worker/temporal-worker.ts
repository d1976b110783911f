import { Injectable, Logger } from '@nestjs/common';
import type { OnApplicationBootstrap, OnApplicationShutdown } from '@nestjs/common';
import { Worker } from '@temporalio/worker';
import type { NativeConnection, WorkerOptions } from '@temporalio/worker';
import { createActivities, createProposalActivities } from '../../activities';
import type { ActivityPorts, ProposalPorts } from '../../activities';
import { sealedDataConverter } from '../../adapters/temporal/data-converter';
import type { CodecKeys } from '../../adapters/temporal/codec-keys';
import { PolicyMoves } from './policy-moves';
import { TASK_QUEUE } from '../../workflows/contract';

export interface TemporalWorkerOptions {
  /** The process's one connection: a client on the same object makes eager start possible. */
  readonly connection: NativeConnection;
  readonly namespace: string;
  readonly codecKeys: CodecKeys;
  readonly ports: ActivityPorts & ProposalPorts;
  readonly maxConcurrentWorkflowTasks: number;
  readonly maxCachedWorkflows: number;
  /** Told when the worker stops by itself: without it nothing is decided, so the process must end. */
  readonly onFatal: (error: unknown) => void;
}

// Steps in flight end by themselves within their seven seconds.
const SHUTDOWN_GRACE = '10 seconds';

/** Options shared by the service and by the replay of recorded histories. */
export function workflowOptions(): Pick<WorkerOptions, 'workflowsPath' | 'bundlerOptions'> {
  const workflowsPath = require.resolve('../../workflows');
  // Evaluated once for all workflows rather than once for each: none of our modules has state at its top level.
  return { workflowsPath, bundlerOptions: { preloadModules: [workflowsPath] } };
}

/** The Temporal worker as a Nest provider: it polls from bootstrap until shutdown. */
@Injectable()
export class TemporalWorker implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly log = new Logger(TemporalWorker.name);
  private worker: Worker | undefined;
  private running: Promise<void> = Promise.resolve();
  private moves: PolicyMoves | undefined;

  constructor(private readonly options: TemporalWorkerOptions) {}

  async onApplicationBootstrap(): Promise<void> {
    const { connection, namespace, codecKeys, ports } = this.options;
    this.worker = await Worker.create({
      ...workflowOptions(),
      connection,
      namespace,
      taskQueue: TASK_QUEUE,
      activities: { ...createActivities(ports), ...createProposalActivities(ports) },
      dataConverter: sealedDataConverter(codecKeys, 'mark'),
      maxConcurrentWorkflowTaskExecutions: this.options.maxConcurrentWorkflowTasks,
      maxConcurrentActivityTaskExecutions: this.options.maxConcurrentWorkflowTasks,
      maxConcurrentLocalActivityExecutions: this.options.maxConcurrentWorkflowTasks,
      maxCachedWorkflows: this.options.maxCachedWorkflows,
      shutdownGraceTime: SHUTDOWN_GRACE,
    });
    this.running = this.worker.run();
    this.moves = new PolicyMoves(ports.policy, connection, namespace, codecKeys);
    this.moves.start();
    this.running.catch((error: unknown) => {
      this.log.error('the worker stopped by itself', error instanceof Error ? error.stack : String(error));
      this.options.onFatal(error);
    });
  }

  /** True while workflow tasks are taken. */
  get isRunning(): boolean {
    return this.worker?.getState() === 'RUNNING';
  }

  async onApplicationShutdown(): Promise<void> {
    await this.moves?.close();
    if (this.worker?.getState() === 'RUNNING') this.worker.shutdown();
    await this.running;
  }
}
