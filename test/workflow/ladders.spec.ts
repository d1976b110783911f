import { isDeepStrictEqual } from 'node:util';
import { createActivities, createConsultationActivities } from '../../activities';
import type { RequestStatus } from '../../domain/request-status';
import {
  collectUpdate,
  POA_REQUEST,
  poaRequestWorkflowId,
  policyMovedSignal,
  statusQuery,
  TASK_QUEUE,
  verdictUpdate,
} from '../../workflows/contract';
import type { PoaRequestWorkflow } from '../../workflows/contract';
import { eventually } from '../support/eventually';
import { describeSkippedTime, SkippedTime } from '../support/skipped-time';
import { ORDER, PAYMENT, ROTATION, WorkerSteps } from '../support/worker-steps';
import type { Asked, Asking } from '../support/worker-steps';

// The first rung waits for no clock: its people are told as soon as this machine gets to it.
const FIRST_WITHIN = 20;
// The others are due at whole half minutes; the server's clock runs on while this machine works.
const LATE_SECONDS = 20;
// A second is what a machine may lose now and then, and not each time.
const MOST_TRIES = 5;
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
    readonly time: SkippedTime,
    readonly steps: WorkerSteps,
  ) {}

  static async open(change?: Parameters<typeof WorkerSteps.open>[0]): Promise<Ladders> {
    const time = await SkippedTime.start();
    const ladders = new Ladders(time, await WorkerSteps.open(change));
    const { ports } = ladders.steps;
    const steps = { ...createActivities(ports), ...createConsultationActivities(ports) };
    await time.work(steps, (now, name, input) => {
      ladders.steps.now = now;
      ladders.note(name, input);
    });
    return ladders;
  }

  async start(asking: Asking) {
    const { time, steps } = this;
    steps.now = await time.now();
    const request = await steps.requestOf(asking);
    const handle = await time.skippingClient.workflow.start<PoaRequestWorkflow>(POA_REQUEST, {
      taskQueue: TASK_QUEUE,
      workflowId: poaRequestWorkflowId(request.requestId),
      args: [request],
    });
    return { request, handle };
  }

  async run(asking: Asking): Promise<[RequestStatus, readonly Moment[]]> {
    const { request, handle } = await this.start(asking);
    const status = await handle.result();
    return [status, this.moments.get(request.requestId) ?? []];
  }

  async close(): Promise<void> {
    await this.time.stop();
    await this.steps.close();
  }

  private note(name: string, input: unknown): void {
    const { request, rung, roles, pendingSince, state } = input as {
      roles?: readonly string[];
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
    if (name === 'escalate' || name === 'remind')
      this.roles.set(`${request.requestId} ${name} ${rung ?? ''}`, roles ?? []);
    if (name === 'escalate') moments.push({ after: now - since, what: `rung ${rung ?? ''}` });
    if (name === 'remind') moments.push({ after: now - since, what: 'reminder' });
    if (name === 'closeRequest') moments.push({ after: now - since, what: state ?? '' });
  }

  /** Whom a rung, or a reminder, told. */
  rolesOf(requestId: string, name: 'escalate' | 'remind', rung: number): readonly string[] | undefined {
    return this.roles.get(`${requestId} ${name} ${rung}`);
  }

  momentsOf(requestId: string): readonly Moment[] {
    return this.moments.get(requestId) ?? [];
  }

  private readonly roles = new Map<string, readonly string[]>();
  private readonly since = new Map<string, number>();
}

/** By when each was due; a moment that was none to be due stays, and so equals nothing that is expected. */
const due = (moments: readonly Moment[]): Moment[] =>
  moments.map(({ after, what }) => ({
    after: after % 30 <= LATE_SECONDS ? after - (after % 30) : after,
    what,
  }));

/** What its timers do. */
const ladder = (response: number, rungs: number): Moment[] => [
  ...Array.from({ length: rungs }, (_, i) => [
    { after: response * (i + 0.5), what: 'reminder' },
    { after: response * (i + 1), what: `rung ${i + 1}` },
  ]).flat(),
  { after: response * (rungs + 0.5), what: 'reminder' },
  { after: response * (rungs + 1), what: 'expired' },
];

describeSkippedTime('every ladder, to its end, with time skipped (operating model §5)', () => {
  let ladders: Ladders;

  beforeAll(async () => {
    ladders = await Ladders.open((data) => {
      const { low } = data.tiers;
      // Nothing waits at P4 by default: here what is low does, by data alone.
      if (low) Object.assign(low, { approvals: 1, priority: 'P4' });
    });
  }, 240_000);

  afterAll(() => ladders.close());

  it.each<[string, Asking, number, number]>([
    ['P1: 15 minutes, on-call, security lead, CISO', ROTATION, 15 * MINUTE, 3],
    ['P2: an hour, on-call, team lead', PAYMENT, HOUR, 2],
    ['P3: four hours, ticket queue', ORDER, 4 * HOUR, 1],
    ['P4: backlog', { by: 'finance-bot', act: 'erp.order.read', params: { order_id: 'SO-7' } }, 24 * HOUR, 0],
  ])(
    '%s: each rung once, to the second, with a reminder half-way; then it expires',
    async (_, asking, response, rungs) => {
      const expected = ladder(response, rungs);
      let timed: readonly Moment[] = [];
      for (let tries = 0; tries < MOST_TRIES && !isDeepStrictEqual(timed, expected); tries++) {
        const [status, [first, ...others]] = await ladders.run(asking);
        expect(status).toMatchObject({ state: 'expired', reasons: ['not_approved_in_time'] });
        expect(first?.what).toBe('rung 0');
        expect(first?.after).toBeLessThan(FIRST_WITHIN);
        expect(due(others)).toEqual(expected);
        timed = others;
      }
      expect(timed).toEqual(expected);
    },
  );

  type Started = Awaited<ReturnType<Ladders['start']>>;

  const pending = ({ handle }: Started) =>
    eventually(
      () => handle.query(statusQuery),
      (status) => status.state === 'pending' && status.assessed,
    );

  it('goes by the clocks of the policy that moved while it waited, and tells its rungs', async () => {
    const started = await ladders.start(PAYMENT);
    const { request, handle } = started;
    await pending(started);
    await ladders.time.sleep('10 minutes');
    await ladders.steps.movePolicy(({ tiers: { high } }) => {
      if (high) Object.assign(high, { priority: 'P1' });
    });
    const { revision } = ladders.steps.ports.policy;
    await handle.signal(policyMovedSignal, { revision });
    expect(await handle.result()).toMatchObject({ state: 'expired', policyRevision: revision });
    const timed = ladders
      .momentsOf(request.requestId)
      .filter(({ what }) => what.startsWith('rung ') || what === 'expired');
    expect(due(timed.slice(1))).toEqual(ladder(15 * MINUTE, 3).filter(({ what }) => what !== 'reminder'));
    expect([1, 2, 3].map((rung) => ladders.rolesOf(request.requestId, 'escalate', rung))).toEqual([
      ['on_call'],
      ['security_lead'],
      ['ciso'],
    ]);
    await ladders.steps.movePolicy(() => undefined);
  });

  it('reminds those who are awaited by then, not those who were when the clock began', async () => {
    const started = await ladders.start(ROTATION);
    const { request, handle } = started;
    const status = await pending(started);
    if (status.state !== 'pending' || !status.assessed) throw new Error('it does not wait');
    const asked = { request, assessment: { ...status } as unknown as Asked['assessment'] };
    ladders.steps.now = await ladders.time.now();
    for (const [name, role] of [
      ['bob', 'compliance'],
      ['frank', 'legal'],
    ] as const) {
      const verdict = await ladders.steps.statement(asked, name, role);
      expect(await handle.executeUpdate(verdictUpdate, { args: [{ verdict }] })).toMatchObject({
        done: true,
      });
    }
    expect(await handle.query(statusQuery)).toMatchObject({ waitingOn: ['ciso', 'security_lead'] });
    await handle.result();
    expect(ladders.rolesOf(request.requestId, 'remind', 1)).toEqual(['ciso', 'security_lead']);
  });

  it('gives the mandate that was signed before policy moved to the agent that comes again for it', async () => {
    const started = await ladders.start(ORDER);
    const { request, handle } = started;
    const status = await pending(started);
    const { steps } = ladders;
    steps.now = await ladders.time.now();
    const asked = { request, assessment: status as unknown as Asked['assessment'] };
    const verdict = await steps.statement(asked, 'bob', 'compliance');
    await handle.executeUpdate(verdictUpdate, { args: [{ verdict }] });
    // As of a step whose answer was lost: the mandate is recorded, and the workflow does not know.
    const lost = await steps.collect(asked, [verdict]);
    await steps.movePolicy(({ tiers: { medium } }) => {
      if (medium) Object.assign(medium, { ttl_seconds: 240 });
    });
    await handle.signal(policyMovedSignal, { revision: steps.ports.policy.revision });
    const evidence = steps.evidence((await steps.credential(`agent/${ORDER.by}`)).chain);
    const again = await handle.executeUpdate(collectUpdate, { args: [{ evidence }] });
    expect(again).toMatchObject({ done: true, status: { state: 'issued' } });
    expect(again).toMatchObject({ status: { jti: (lost as { jti?: string }).jti } });
    expect(await handle.result()).toMatchObject({ state: 'issued' });
    await steps.movePolicy(() => undefined);
  });
});
