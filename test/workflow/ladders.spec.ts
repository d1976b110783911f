import type { TestWorkflowEnvironment } from '@temporalio/testing';
import type { Worker } from '@temporalio/worker';
import { createActivities, createConsultationActivities } from '../../activities';
import type { Activities } from '../../activities/types';
import type { RequestStatus } from '../../domain/request-status';
import { SEARCH_ATTRIBUTES } from '../../adapters/temporal/server-settings';
import { POA_REQUEST, poaRequestWorkflowId, TASK_QUEUE } from '../../workflows/contract';
import { hasJava, timeSkippingServer } from '../support/time-skipping';
import { ORDER, PAYMENT, ROTATION, WorkerSteps } from '../support/worker-steps';
import type { Asking } from '../support/worker-steps';

const MINUTE = 60;
const HOUR = 3_600;

interface Moment {
  readonly after: number;
  readonly what: string;
}

/** Everything a ladder does, in seconds after the request began to wait. */
class Ladders {
  private readonly moments = new Map<string, Moment[]>();

  private constructor(
    readonly environment: TestWorkflowEnvironment,
    readonly steps: WorkerSteps,
  ) {}

  static async open(change?: Parameters<typeof WorkerSteps.open>[0]): Promise<Ladders> {
    const { TestWorkflowEnvironment: Environment } = await import('@temporalio/testing');
    const environment = await Environment.createTimeSkipping({
      server: { executable: { type: 'existing-path', path: await timeSkippingServer() } },
    });
    const ladders = new Ladders(environment, await WorkerSteps.open(change));
    await environment.connection.operatorService.addSearchAttributes({
      namespace: environment.namespace ?? 'default',
      searchAttributes: Object.fromEntries(
        Object.entries(SEARCH_ATTRIBUTES).map(([name, type]) => [name, type === 'Keyword' ? 2 : 7]),
      ),
    });
    return ladders;
  }

  /** The worker's steps, by the server's clock, which skips. */
  get activities(): Activities {
    const { steps, environment } = this;
    const activities = { ...createActivities(steps.ports), ...createConsultationActivities(steps.ports) };
    return Object.fromEntries(
      Object.entries(activities).map(([name, activity]) => [
        name,
        async (input: unknown) => {
          steps.now = new Date(await environment.currentTimeMs());
          this.note(name, input);
          return (activity as (input: unknown) => Promise<unknown>)(input);
        },
      ]),
    ) as unknown as Activities;
  }

  async run(asking: Asking): Promise<[RequestStatus, readonly Moment[]]> {
    const { environment, steps } = this;
    steps.now = new Date(await environment.currentTimeMs());
    const request = await steps.requestOf(asking);
    const handle = await environment.client.workflow.start(POA_REQUEST, {
      taskQueue: TASK_QUEUE,
      workflowId: poaRequestWorkflowId(request.requestId),
      args: [request],
    });
    const status = (await handle.result()) as RequestStatus;
    return [status, this.moments.get(request.requestId) ?? []];
  }

  async close(): Promise<void> {
    await this.environment.teardown();
    await this.steps.close();
  }

  private note(name: string, input: unknown): void {
    const { request, rung, pendingSince, state } = input as {
      request?: { requestId: string };
      rung?: number;
      pendingSince?: number;
      state?: string;
    };
    const now = Math.floor(this.steps.now.getTime() / 1000);
    if (!request) return;
    const moments = this.moments.get(request.requestId) ?? [];
    this.moments.set(request.requestId, moments);
    const since = pendingSince ?? this.since.get(request.requestId) ?? now;
    this.since.set(request.requestId, since);
    if (name === 'escalate') moments.push({ after: now - since, what: `rung ${rung ?? ''}` });
    if (name === 'remind') moments.push({ after: now - since, what: 'reminder' });
    if (name === 'closeRequest') moments.push({ after: now - since, what: state ?? '' });
  }

  private readonly since = new Map<string, number>();
}

const ladder = (response: number, rungs: number): Moment[] => [
  { after: 0, what: 'rung 0' },
  ...Array.from({ length: rungs }, (_, i) => [
    { after: response * (i + 0.5), what: 'reminder' },
    { after: response * (i + 1), what: `rung ${i + 1}` },
  ]).flat(),
  { after: response * (rungs + 0.5), what: 'reminder' },
  { after: response * (rungs + 1), what: 'expired' },
];

describe('every ladder, to its end, with time skipped (operating model §5)', () => {
  let ladders: Ladders | undefined;
  let worker: Worker | undefined;
  let running: Promise<void> | undefined;

  beforeAll(async () => {
    if (!(await hasJava())) {
      process.stderr.write('NOT RUN: ladders with skipped time: there is no Java with Maven here\n');
      return;
    }
    const { DefaultLogger, Runtime, Worker: WorkerOf } = await import('@temporalio/worker');
    Runtime.install({ logger: new DefaultLogger('ERROR'), shutdownSignals: [] });
    ladders = await Ladders.open((data) => {
      const { low } = data.tiers;
      // Nothing waits at P4 by default: here what is low does, by data alone.
      if (low) Object.assign(low, { approvals: 1, priority: 'P4' });
    });
    worker = await WorkerOf.create({
      connection: ladders.environment.nativeConnection,
      namespace: ladders.environment.namespace ?? 'default',
      taskQueue: TASK_QUEUE,
      workflowsPath: require.resolve('../../workflows'),
      activities: ladders.activities,
    });
    running = worker.run();
  }, 240_000);

  afterAll(async () => {
    worker?.shutdown();
    await running;
    await ladders?.close();
  });

  it.each<[string, Asking, number, number]>([
    ['P1: 15 minutes, on-call, security lead, CISO', ROTATION, 15 * MINUTE, 3],
    ['P2: an hour, on-call, team lead', PAYMENT, HOUR, 2],
    ['P3: four hours, ticket queue', ORDER, 4 * HOUR, 1],
    ['P4: backlog', { by: 'finance-bot', act: 'erp.order.read', params: { order_id: 'SO-7' } }, 24 * HOUR, 0],
  ])(
    '%s: each rung once, to the second, with a reminder half-way; then it expires',
    async (_, asking, response, rungs) => {
      if (!ladders) return;
      const [status, moments] = await ladders.run(asking);
      expect(status).toMatchObject({ state: 'expired', reasons: ['not_approved_in_time'] });
      expect(moments).toEqual(ladder(response, rungs));
    },
  );
});
