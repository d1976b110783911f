import { Logger } from '@nestjs/common';
import { Client, ScheduleAlreadyRunning, ScheduleOverlapPolicy } from '@temporalio/client';
import type { ScheduleOptions } from '@temporalio/client';
import { RETENTION, RETENTION_SCHEDULE, TASK_QUEUE } from '../../workflows/contract';
import type { TemporalConnection } from './temporal-connection';

const TRY_AGAIN_MS = 30_000;

/** Daily at a quiet minute (UTC); what was missed while Temporal was away is caught up once. */
const SCHEDULE: Pick<ScheduleOptions, 'spec' | 'action' | 'policies'> = {
  spec: { calendars: [{ hour: 3, minute: 17, comment: 'operating model §6' }] },
  action: {
    type: 'startWorkflow',
    workflowType: RETENTION,
    workflowId: RETENTION,
    taskQueue: TASK_QUEUE,
    args: [],
  },
  policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: '7 days' },
};

/** Sees to it that the namespace has the retention's schedule, as this version has it. */
export class RetentionSchedule {
  private readonly log = new Logger(RetentionSchedule.name);
  private again: NodeJS.Timeout | undefined;
  private putting: Promise<void> = Promise.resolve();
  private closed = false;

  constructor(
    private readonly connection: TemporalConnection,
    private readonly namespace: string,
  ) {}

  start(): void {
    this.putting = this.put();
  }

  /** Resolves when nothing is under way any more. */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.again);
    await this.putting;
  }

  private async put(): Promise<void> {
    try {
      await this.createOrRenew();
    } catch (error) {
      if (this.closed) return;
      this.log.warn(`the retention's schedule is not there yet: ${String(error)}; trying again`);
      this.again = setTimeout(() => {
        this.start();
      }, TRY_AGAIN_MS);
      this.again.unref();
    }
  }

  private async createOrRenew(): Promise<void> {
    const { schedule } = new Client({ connection: this.connection.current, namespace: this.namespace });
    try {
      await schedule.create({ scheduleId: RETENTION_SCHEDULE, ...SCHEDULE });
    } catch (error) {
      if (!(error instanceof ScheduleAlreadyRunning)) throw error;
      await schedule.getHandle(RETENTION_SCHEDULE).update((before) => ({
        ...before,
        ...SCHEDULE,
        action: { ...before.action, taskQueue: TASK_QUEUE },
      }));
    }
  }
}
