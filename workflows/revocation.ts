import { proxyLocalActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/types';
import type { Revocation, RevocationRequest } from '../domain/mandate-lifecycle';

const { revokeMandate } = proxyLocalActivities<Activities>({
  startToCloseTimeout: '7 seconds',
  // Insert-once in the database; tried until the store answers, so that an accepted revocation is never lost.
  retry: { initialInterval: '1 second', maximumInterval: '15 seconds' },
  localRetryThreshold: '1 second',
});

/** Revokes one mandate (RFC 7009). */
export function revocation(request: RevocationRequest): Promise<Revocation> {
  return revokeMandate(request);
}
