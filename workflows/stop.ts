import { ApplicationFailure, proxyLocalActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/types';
import { isRefusedPayload } from '../domain/refused-payload';
import type { ListedStop, StopAnswer, StopListing, StopRequest } from '../domain/stop';

const { orderStop } = proxyLocalActivities<Activities>({
  startToCloseTimeout: '7 seconds',
  // Insert-once in the database; tried until the store answers, so that an accepted stop is never lost.
  retry: { initialInterval: '1 second', maximumInterval: '15 seconds' },
  localRetryThreshold: '1 second',
});

const { listStops } = proxyLocalActivities<Activities>({
  startToCloseTimeout: '7 seconds',
  // Whoever asks is waiting: one try, and the caller hears of it.
  retry: { maximumAttempts: 1 },
});

/** Lists what is stopped. */
export function stopListing(listing: StopListing): Promise<readonly ListedStop[]> {
  return listStops(listing);
}

/** Stops something, or lifts a stop, over a person's own signature. */
export function stop(request: StopRequest): Promise<StopAnswer> {
  if (isRefusedPayload(request)) throw ApplicationFailure.nonRetryable(request.reason, 'payload_refused');
  return orderStop(request);
}
