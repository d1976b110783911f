import { defineSearchAttributeKey } from '@temporalio/common/lib/search-attributes';
import { proxyActivities, workflowInfo } from '@temporalio/workflow';
import type { ChangeActivities } from '../activities/change-types';
import { isRefusedPayload } from '../domain/refused-payload';
import { notOurs } from './persistence';

const { holdCab } = proxyActivities<ChangeActivities>({
  startToCloseTimeout: '1 minute',
  // Nobody waits: tried until the stores answer. A repeat tells nobody twice.
  retry: { initialInterval: '5 seconds', maximumInterval: '5 minutes' },
});

/** The moment that a schedule had for what it starts, however late it is. */
const SCHEDULED_AT = defineSearchAttributeKey('TemporalScheduledStartTime', 'DATETIME');

/** A meeting of the CAB (operating model §7): its agenda is told, once for the moment that the schedule had for it. */
export async function cab(): Promise<void> {
  const { typedSearchAttributes, startTime } = workflowInfo();
  const due = typedSearchAttributes.get(SCHEDULED_AT) ?? startTime;
  const held = await holdCab({ cab: due.toISOString() });
  if (isRefusedPayload(held)) throw notOurs(held);
}
