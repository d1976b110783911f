import { proxyLocalActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/types';
import type { Recollection } from '../domain/recollection';

const { recollect } = proxyLocalActivities<Activities>({
  startToCloseTimeout: '7 seconds',
  // Whoever asks is waiting: one try, and the caller hears of it.
  retry: { maximumAttempts: 1 },
});

/** Tells where a request ended whose workflow is there no more. */
export function recollection(requestId: string): Promise<Recollection | null> {
  return recollect(requestId);
}
