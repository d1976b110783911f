import { proxyLocalActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/types';
import type { VelocityLimit, VelocityRoom } from '../domain/velocity';

const { roomOf } = proxyLocalActivities<Activities>({
  startToCloseTimeout: '7 seconds',
  // Whoever plans is waiting: one try, and the caller hears of it.
  retry: { maximumAttempts: 1 },
});

/** Tells how velocity limits stand now; counts nothing. */
export function velocity(limits: readonly VelocityLimit[]): Promise<readonly VelocityRoom[]> {
  return roomOf(limits);
}
