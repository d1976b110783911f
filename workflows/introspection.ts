import { proxyLocalActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/types';
import type { Introspection, IntrospectionRequest } from '../domain/mandate-lifecycle';

const { introspectMandate } = proxyLocalActivities<Activities>({
  startToCloseTimeout: '7 seconds',
  // Whoever asks is waiting: one try, and the caller hears of it.
  retry: { maximumAttempts: 1 },
});

/** Tells what became of one mandate (RFC 7662). */
export function introspection(request: IntrospectionRequest): Promise<Introspection> {
  return introspectMandate(request);
}
