import { Injectable } from '@nestjs/common';
import type { OnApplicationBootstrap, OnApplicationShutdown } from '@nestjs/common';
import { bundleWorkflowCode, Runtime, Worker } from '@temporalio/worker';
import type { NativeConnection, WorkerOptions, WorkflowBundleWithSourceMap } from '@temporalio/worker';
import {
  createActivities,
  createChangeActivities,
  createConsultationActivities,
  createIncidentActivities,
  createPolicyActivities,
  createProposalActivities,
} from '../../activities';
import type { ActivityPorts, ChangePorts, PolicyApprovalPorts, ProposalPorts } from '../../activities';
import type { PostgresIncidentWatch } from '../../adapters/postgres/incident-watch';
import type { PostgresOutcomeWatch } from '../../adapters/postgres/outcome-watch';
import { sealedDataConverter } from '../../adapters/temporal/data-converter';
import { activityTraces, workflowTraces } from '../../adapters/temporal/traces';
import type { CodecKeys } from '../../adapters/temporal/codec-keys';
import { DigestStart } from './digest-start';
import { IncidentWatch, reporterOver } from './incident-watch';
import { LostChanges } from './lost-changes';
import { LostIncidents } from './lost-incidents';
import { LostRequests } from './lost-requests';
import type { LostWorkflows } from './lost-workflows';
import type { WorkerMetrics } from './metrics';
import { OutcomeWatch } from './outcome-watch';
import { Polling } from './polling';
import { PolicyMoves } from './policy-moves';
import { Schedules } from './schedules';
import type { TemporalConnection } from './temporal-connection';
import { TASK_QUEUE } from '../../workflows/contract';

export interface TemporalWorkerOptions {
  readonly connection: TemporalConnection;
  readonly namespace: string;
  readonly codecKeys: CodecKeys;
  readonly ports: ActivityPorts &
    ProposalPorts &
    ChangePorts &
    PolicyApprovalPorts & {
      readonly watched: PostgresIncidentWatch;
      readonly outcomes: PostgresOutcomeWatch;
    };
  readonly metrics: WorkerMetrics;
  readonly maxConcurrentWorkflowTasks: number;
  readonly maxCachedWorkflows: number;
  /** Told when the worker stops by itself: the process must end. */
  readonly onFatal: (error: unknown) => void;
}

// Steps in flight end by themselves within their seven seconds.
const SHUTDOWN_GRACE = '10 seconds';

/** Options shared by the service and by the replay of recorded histories. */
export function workflowOptions() {
  const workflowsPath = require.resolve('../../workflows');
  const workflowModules = [require.resolve('../../workflows/trace')];
  // Evaluated once for all workflows rather than once for each: none of our modules has state at its top level.
  return {
    workflowsPath,
    bundlerOptions: { preloadModules: [workflowsPath, ...workflowModules] },
    interceptors: { workflowModules },
  } satisfies Partial<WorkerOptions>;
}

let bundle: Promise<WorkflowBundleWithSourceMap> | undefined;

/** The workflows as one script, made once in a process. It takes seconds: whoever knows that it is needed asks early. */
export function workflowBundle(): Promise<WorkflowBundleWithSourceMap> {
  const { workflowsPath, bundlerOptions, interceptors } = workflowOptions();
  bundle ??= bundleWorkflowCode({
    workflowsPath,
    ...bundlerOptions,
    workflowInterceptorModules: interceptors.workflowModules,
    failureConverterPath: require.resolve('../../adapters/temporal/failure-converter'),
    logger: Runtime.instance().logger,
  });
  return bundle;
}

/** The Temporal worker as a Nest provider: it polls from bootstrap until shutdown. */
@Injectable()
export class TemporalWorker implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly polling: Polling;
  private moves: PolicyMoves | undefined;
  private digests: DigestStart | undefined;
  private lost: readonly LostWorkflows<unknown>[] = [];
  private incidents: IncidentWatch | undefined;
  private outcomes: OutcomeWatch | undefined;
  private schedules: Schedules | undefined;

  constructor(private readonly options: TemporalWorkerOptions) {
    this.polling = new Polling(
      options.connection,
      (connection) => this.workerOn(connection),
      options.onFatal,
    );
  }

  async onApplicationBootstrap(): Promise<void> {
    const { connection, namespace, codecKeys, ports } = this.options;
    await this.polling.start();
    this.moves = new PolicyMoves(ports.policy, connection, namespace, codecKeys);
    this.moves.start();
    this.digests = new DigestStart(connection, namespace, codecKeys);
    this.digests.start();
    const lost = [LostRequests, LostChanges, LostIncidents] as const;
    this.lost = lost.map((Lost) => new Lost(ports, connection, namespace, codecKeys));
    for (const watch of this.lost) watch.start();
    const report = reporterOver(connection, namespace, codecKeys);
    this.incidents = new IncidentWatch(ports.policy, ports.watched, report);
    this.incidents.start();
    this.outcomes = new OutcomeWatch(ports.outcomes, ports.clock);
    this.outcomes.start();
    this.schedules = new Schedules(ports.policy, connection, namespace);
    this.schedules.start();
  }

  /** True while workflow tasks are taken. */
  get isRunning(): boolean {
    return this.polling.isRunning;
  }

  async onApplicationShutdown(): Promise<void> {
    this.polling.leave();
    await this.moves?.close();
    await this.digests?.close();
    for (const watch of this.lost) await watch.close();
    await this.incidents?.close();
    await this.outcomes?.close();
    await this.schedules?.close();
    await this.polling.stop();
  }

  private async workerOn(connection: NativeConnection): Promise<Worker> {
    const { namespace, codecKeys, ports, metrics } = this.options;
    const dataConverter = sealedDataConverter(codecKeys, 'mark');
    return Worker.create({
      workflowBundle: await workflowBundle(),
      connection,
      namespace,
      taskQueue: TASK_QUEUE,
      activities: {
        ...metrics.measured(createActivities(ports)),
        ...createProposalActivities(ports),
        ...createPolicyActivities(ports),
        ...createIncidentActivities(ports),
        ...createChangeActivities(ports),
        ...createConsultationActivities(ports),
      },
      dataConverter,
      interceptors: { activity: [activityTraces] },
      sinks: workflowTraces,
      maxConcurrentWorkflowTaskExecutions: this.options.maxConcurrentWorkflowTasks,
      maxConcurrentActivityTaskExecutions: this.options.maxConcurrentWorkflowTasks,
      maxConcurrentLocalActivityExecutions: this.options.maxConcurrentWorkflowTasks,
      maxCachedWorkflows: this.options.maxCachedWorkflows,
      shutdownGraceTime: SHUTDOWN_GRACE,
    });
  }
}
