import { parseChange } from './change';
import { parsePolicyApproval } from './policy-approval';
import { parsePolicyRollout } from './policy-rollout';
import { parseProbes, parseSuspensionLift } from './probe';
import type { Proposed } from './proposal';

/** Throws `proposal_malformed`, `unknown_field` where the content is not what its kind has. */
export function requireContent(proposed: Proposed): void {
  switch (proposed.kind) {
    case 'change':
    case 'emergency_change':
      parseChange(proposed);
      return;
    case 'probe':
      parseProbes(proposed);
      return;
    case 'suspension_lift':
      parseSuspensionLift(proposed);
      return;
    case 'policy_bundle':
      parsePolicyApproval(proposed);
      return;
    case 'policy_rollout':
      parsePolicyRollout(proposed);
      return;
    case 'connector':
    case 'connector_retirement':
  }
}
