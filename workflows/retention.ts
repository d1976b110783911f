import { proxyActivities, workflowInfo } from '@temporalio/workflow';
import type { Activities } from '../activities/types';
import type { RetentionReport } from '../domain/retention';

const { planRetention, applyRetention } = proxyActivities<Activities>({
  // Hundreds of files at the most. Repeating either is harmless: one removes nothing, the other the same once more.
  startToCloseTimeout: '2 minutes',
  retry: { initialInterval: '5 seconds', maximumInterval: '5 minutes' },
});

// A folder that nobody tidied for years; what is left after so many rounds is the next day's.
const MOST_ROUNDS = 100;

/** Removes what is older than its store keeps it, and tells the audit log what that was (operating model §6). */
export async function retention(): Promise<RetentionReport> {
  const { workflowId, runId } = workflowInfo();
  const removals: RetentionReport['removals'][number][] = [];
  for (let round = 0; round < MOST_ROUNDS; round += 1) {
    const plan = await planRetention();
    const nothing = plan.every(({ aged }) => aged.length === 0);
    // A run that finds nothing says so once.
    if (nothing && round > 0) break;
    await applyRetention({ run: `${workflowId}/${runId}/${round}`, removals: plan });
    removals.push(...plan);
    if (nothing) break;
  }
  return { removals };
}
