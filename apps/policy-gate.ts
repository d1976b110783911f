import { standing } from '../activities/proposal';
import type { JudgingPorts } from '../activities/proposal';
import { AtbError, isAtbError, isRetryable } from '../domain/error';
import { parsePolicyApproval } from '../domain/policy-approval';
import type { PolicyApprovals, PolicyGate, Proposals } from '../domain/ports';

type GatePorts = Omit<JudgingPorts, 'policy'> & {
  readonly proposals: PolicyApprovals & Pick<Proposals, 'recordOf'>;
};

/**
 * A bundle decides only by Security's approval of exactly its content (operating model §2.3); signed it must be besides.
 * The words are verified here again, as of their receipt, and the policy that still decides judges them; at a start the
 * record of the approval stands in for it. Only the policy that an installation began with needs none: nobody could
 * have approved it.
 */
export function signedOffPolicies(ports: GatePorts): PolicyGate {
  return {
    async admit({ revision, digest, itself }, judge) {
      const first = await ports.proposals.firstPolicy();
      if (first === null || first === revision) return;
      for (const id of await ports.proposals.approved('policy_bundle', revision)) {
        if (await isApproval(id, digest, judge ?? itself)) return;
      }
      throw new AtbError('policy_not_approved', `Security has not approved policy ${revision} as it is`);
    },
  };

  async function isApproval(id: string, digest: string, judge: JudgingPorts['policy']): Promise<boolean> {
    const { proposal } = await ports.proposals.recordOf(id);
    if (!proposal) return false;
    try {
      if (parsePolicyApproval(proposal).bundleDigest !== digest) return false;
      return (await standing({ ...ports, policy: judge }, id)).effect === 'approved';
    } catch (error) {
      if (!isAtbError(error) || isRetryable(error.code)) throw error;
      return false;
    }
  }
}
