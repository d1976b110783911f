import { Logger } from '@nestjs/common';
import { Client, ScheduleAlreadyRunning, ScheduleOverlapPolicy } from '@temporalio/client';
import type { CalendarSpec, ScheduleOptions } from '@temporalio/client';
import type { PolicyEngine } from '../../domain/ports';
import { CAB, CAB_SCHEDULE, RETENTION, RETENTION_SCHEDULE, TASK_QUEUE } from '../../workflows/contract';
import type { TemporalConnection } from './temporal-connection';

const TRY_AGAIN_MS = 30_000;

type Planned = Pick<ScheduleOptions, 'scheduleId' | 'spec' | 'action' | 'policies'>;

/** Daily at a quiet minute (UTC); what was missed while Temporal was away is caught up once. */
const RETENTION_PLAN: Planned = {
  scheduleId: RETENTION_SCHEDULE,
  spec: { calendars: [{ hour: 3, minute: 17, comment: 'operating model §6' }] },
  action: startOf(RETENTION),
  policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: '7 days' },
};

/** Sees to it that the namespace has our schedules, as this version and the policy of now have them. */
export class Schedules {
  private readonly log = new Logger(Schedules.name);
  private again: NodeJS.Timeout | undefined;
  private unhear: () => void = () => undefined;
  private putting: Promise<void> = Promise.resolve();
  private closed = false;

  constructor(
    private readonly policy: PolicyEngine,
    private readonly connection: TemporalConnection,
    private readonly namespace: string,
  ) {}

  start(): void {
    this.unhear = this.policy.onChange(({ change }) => {
      if (change === 'loaded') this.putSoon();
    });
    this.putSoon();
  }

  /** Resolves when nothing is under way any more. */
  async close(): Promise<void> {
    this.closed = true;
    this.unhear();
    clearTimeout(this.again);
    await this.putting;
  }

  private putSoon(): void {
    clearTimeout(this.again);
    this.putting = this.putting.then(() => this.put());
  }

  private async put(): Promise<void> {
    if (this.closed) return;
    try {
      await this.createOrRenew(RETENTION_PLAN);
      await this.createOrRenew(await cabPlan(this.policy));
    } catch (error) {
      this.log.warn(`the schedules are not all there yet: ${String(error)}; trying again`);
      this.again = setTimeout(() => {
        this.putSoon();
      }, TRY_AGAIN_MS);
      this.again.unref();
    }
  }

  private async createOrRenew({ scheduleId, ...plan }: Planned): Promise<void> {
    const { schedule } = new Client({ connection: this.connection.current, namespace: this.namespace });
    try {
      await schedule.create({ scheduleId, ...plan });
    } catch (error) {
      if (!(error instanceof ScheduleAlreadyRunning)) throw error;
      await schedule.getHandle(scheduleId).update((before) => ({
        ...before,
        ...plan,
        action: { ...before.action, taskQueue: TASK_QUEUE },
      }));
    }
  }
}

/** Weekly, as the clock of the policy's time zone shows it (operating model §7); one that was missed is held late. */
async function cabPlan(policy: PolicyEngine): Promise<Planned> {
  const { weekday, hour, minute, timeZone } = (await policy.changePlan()).cab;
  const dayOfWeek = weekday.toUpperCase() as Extract<CalendarSpec['dayOfWeek'], string>;
  return {
    scheduleId: CAB_SCHEDULE,
    spec: { calendars: [{ dayOfWeek, hour, minute, comment: 'operating model §7' }], timezone: timeZone },
    action: startOf(CAB),
    policies: { overlap: ScheduleOverlapPolicy.BUFFER_ALL, catchupWindow: '7 days' },
  };
}

function startOf(workflowType: string): Planned['action'] {
  return { type: 'startWorkflow', workflowType, workflowId: workflowType, taskQueue: TASK_QUEUE, args: [] };
}
