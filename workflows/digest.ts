import { continueAsNew, proxyActivities, sleep } from '@temporalio/workflow';
import type { Activities } from '../activities/types';
import { isRefusedPayload } from '../domain/refused-payload';
import { epochSecondsNow, notOurs } from './persistence';

const { digestPeriodSeconds, tellInformed } = proxyActivities<Activities>({
  startToCloseTimeout: '20 seconds',
  // Nobody waits: tried until the stores answer. A repeat tells nobody twice.
  retry: { initialInterval: '5 seconds', maximumInterval: '5 minutes' },
});

/** What was about to be recorded when a period ended is there by then. */
const SETTLE_SECONDS = 60;
const OFF_SECONDS = 3_600;

/**
 * One period of digests after the other, each in a run of its own, for ever. Periods lie where policy says; those that
 * went by while no worker ran are told late, and not left out. `from` is where the last one ended, in epoch seconds.
 */
export async function digest(from?: number): Promise<void> {
  if (isRefusedPayload(from)) throw notOurs(from);
  const periodSeconds = await digestPeriodSeconds();
  if (isRefusedPayload(periodSeconds)) throw notOurs(periodSeconds);
  if (periodSeconds === null) {
    await sleep(`${OFF_SECONDS} seconds`, { summary: 'no digests' });
    return continueAsNew<typeof digest>();
  }
  const begin = from ?? Math.floor(epochSecondsNow() / periodSeconds) * periodSeconds;
  const until = (Math.floor(begin / periodSeconds) + 1) * periodSeconds;
  const settled = until + Math.min(SETTLE_SECONDS, periodSeconds);
  await sleep(Math.max(1, settled * 1000 - Date.now()), { summary: 'until the period is over' });
  // Somebody else took the task, and said that it was done.
  while (isRefusedPayload(await tellInformed({ from: begin, until }))) await sleep('1 minute');
  return continueAsNew<typeof digest>(until);
}
