import { requirePolicyApproval } from '../activities';
import type { PolicyApprovalPorts } from '../activities';
import { Svids } from '../adapters/identity/svids';
import { openSignOff } from '../adapters/jose/sign-off-statement';
import type { PostgresProposals } from '../adapters/postgres/proposals';
import type { PolicyGate } from '../domain/ports';
import type { Trust } from './identity';

/**
 * A bundle decides only by Security's approval of exactly its content (operating model §2.3); signed it must be besides.
 * The policy that still decides judges the words.
 */
export function signedOffPolicies(ports: Omit<PolicyApprovalPorts, 'policy'>): PolicyGate {
  return { admit: (delivered, judge) => requirePolicyApproval({ ...ports, policy: judge }, delivered) };
}

/**
 * By what a process judges recorded sign-offs again. Where it puts no `probes` of its own in their place, what was signed off
 * stays so though one of those who signed was suspended later.
 */
export function recordedSignOffs(trust: Trust, proposals: PostgresProposals, clock = () => new Date()) {
  return {
    ...{ clock, svids: new Svids(trust), proposals, signOffs: { open: openSignOff } },
    probes: { suspended: () => Promise.resolve([]) },
  };
}
