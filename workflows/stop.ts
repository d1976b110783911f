import {
  ApplicationFailure,
  getExternalWorkflowHandle,
  isCancellation,
  log,
  proxyLocalActivities,
} from '@temporalio/workflow';
import type { Activities } from '../activities/types';
import { isRefusedPayload } from '../domain/refused-payload';
import { incidentLiftedSignal, incidentWorkflowId } from './contract';
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
export async function stop(request: StopRequest): Promise<StopAnswer> {
  if (isRefusedPayload(request)) throw ApplicationFailure.nonRetryable(request.reason, 'payload_refused');
  const answer = await orderStop(request);
  if (answer.done) await tellIncidents(answer.incidents ?? []);
  return answer;
}

/** That something which they had stopped was lifted: each looks it up by itself. One that is over hears nothing. */
export async function tellIncidents(incidents: readonly string[]): Promise<void> {
  for (const id of incidents) {
    try {
      await getExternalWorkflowHandle(incidentWorkflowId(id)).signal(incidentLiftedSignal);
    } catch (error) {
      if (isCancellation(error)) throw error;
      log.info('the incident is over, and is not told what was lifted', { incident: id });
    }
  }
}
