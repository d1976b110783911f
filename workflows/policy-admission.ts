import { proxyLocalActivities } from '@temporalio/workflow';
import type { PolicyActivities } from '../activities/proposal-types';
import type { DeliveredPolicy } from '../domain/ports';

const { admitPolicy } = proxyLocalActivities<PolicyActivities>({
  startToCloseTimeout: '7 seconds',
  // Whoever asks looks again by themselves.
  retry: { maximumAttempts: 1 },
});

/** Fails with `policy_not_approved` where Security did not approve exactly this policy (operating model §2.3). */
export function policyAdmission(delivered: DeliveredPolicy): Promise<void> {
  return admitPolicy(delivered);
}
