import { requirePolicyApproval } from '../activities';
import type { PolicyApprovalPorts } from '../activities';
import type { PolicyGate } from '../domain/ports';

/**
 * A bundle decides only by Security's approval of exactly its content (operating model §2.3); signed it must be besides.
 * The policy that still decides judges the words.
 */
export function signedOffPolicies(ports: Omit<PolicyApprovalPorts, 'policy'>): PolicyGate {
  return { admit: (delivered, judge) => requirePolicyApproval({ ...ports, policy: judge }, delivered) };
}
