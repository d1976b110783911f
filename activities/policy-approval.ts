import { AtbError } from '../domain/error';
import { parsePolicyApproval } from '../domain/policy-approval';
import type { DeliveredPolicy, PolicyApprovals, Proposals } from '../domain/ports';
import { byCode, orRefusal } from './failure';
import { standing } from './proposal';
import type { JudgingPorts } from './proposal';
import type { PolicyActivities } from './proposal-types';

export type PolicyApprovalPorts = JudgingPorts & {
  readonly proposals: PolicyApprovals & Pick<Proposals, 'recordOf'>;
};

/** The step over its ports, for processes that have no database to ask. */
export function createPolicyActivities(ports: PolicyApprovalPorts): PolicyActivities {
  return {
    admitPolicy: (delivered) =>
      byCode(() => requirePolicyApproval({ ...ports, policy: ports.policy.snapshot() }, delivered)),
  };
}

/**
 * Throws `policy_not_approved` unless Security approved exactly this content (operating model §2.3). The words are verified
 * here again, as of their receipt, and `ports.policy` judges them. Only the policy that an installation began with needs
 * none: nobody could have approved it.
 */
export async function requirePolicyApproval(
  ports: PolicyApprovalPorts,
  { revision, digest }: DeliveredPolicy,
): Promise<void> {
  const first = await ports.proposals.firstPolicy();
  if (first === null || first === revision) return;
  for (const id of await ports.proposals.approved('policy_bundle', revision)) {
    if (await isApproval(ports, id, digest)) return;
  }
  throw new AtbError('policy_not_approved', `Security has not approved policy ${revision} as it is`);
}

async function isApproval(ports: PolicyApprovalPorts, id: string, digest: string): Promise<boolean> {
  const { proposal } = await ports.proposals.recordOf(id);
  if (!proposal) return false;
  const approves = await orRefusal(
    async () =>
      parsePolicyApproval(proposal).bundleDigest === digest &&
      (await standing(ports, id)).effect === 'approved',
  );
  return approves === true;
}
