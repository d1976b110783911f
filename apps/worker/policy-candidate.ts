import { createWriteStream } from 'node:fs';
import { Logger } from '@nestjs/common';
import { standing } from '../../activities/proposal';
import type { JudgingPorts } from '../../activities/proposal';
import { RolloutPolicy } from '../../adapters/opa/rollout-policy';
import type { Comparison } from '../../adapters/opa/rollout-policy';
import type { PolicyDecision } from '../../domain/policy';
import { parsePolicyRollout } from '../../domain/policy-rollout';
import type { PolicyApprovals, Proposals } from '../../domain/ports';
import type { OpenPolicy, PolicyConfiguration } from '../policy';
import { signedOffPolicies } from '../policy-gate';
import type { WorkerMetrics } from './metrics';

type CandidatePorts = Omit<JudgingPorts, 'policy'> & {
  readonly proposals: PolicyApprovals & Pick<Proposals, 'recordOf'>;
};

/** The policy, with a candidate beside it where the configuration names one (operating model §2.3). */
export async function withCandidate(
  stable: OpenPolicy,
  configuration: PolicyConfiguration,
  ports: CandidatePorts,
  metrics: WorkerMetrics,
): Promise<OpenPolicy> {
  if (configuration.candidateFile === undefined) return stable;
  const log = new Logger('Policy');
  const { candidateFile: bundleFile, publicKeyFile, pollSeconds, shadowFile } = configuration;
  const list =
    shadowFile === undefined ? undefined : createWriteStream(shadowFile, { flags: 'a', mode: 0o600 });
  list?.on('error', (error) => {
    log.error(`what policies decide otherwise cannot be listed: ${error.message}`);
  });
  return RolloutPolicy.over(stable, {
    ...{ bundleFile, publicKeyFile, pollSeconds },
    // A candidate is approved whatever the first policy needs: two of them are no accident.
    gate: signedOffPolicies(ports),
    share: async (revision, judge) => {
      const [newest] = await ports.proposals.approved('policy_rollout', revision);
      if (newest === undefined) return 0;
      const { proposal } = await ports.proposals.recordOf(newest);
      const { effect } = await standing({ ...ports, policy: judge }, newest);
      return proposal && effect === 'approved' ? parsePolicyRollout(proposal) : 0;
    },
    onComparison: (comparison) => {
      metrics.shadowed.inc({ outcome: comparison.outcome });
      if (comparison.outcome !== 'same') list?.write(`${JSON.stringify(listed(comparison))}\n`);
    },
    onCandidate: (revision, percent, reason) => {
      metrics.canaryPercent.set(percent);
      if (reason !== undefined) log.warn(`the candidate policy: ${reason}`);
      else
        log.log(revision === null ? 'no candidate policy' : `policy ${revision} decides ${percent} percent`);
    },
  });
}

function listed({ outcome, action, decided, other }: Comparison) {
  return {
    time: new Date().toISOString(),
    outcome,
    action,
    decided: inShort(decided),
    other: other && inShort(other),
  };
}

function inShort(decision: PolicyDecision) {
  const { effect, tier, policyRevision } = decision;
  return { effect, tier, policyRevision, reasons: decision.effect === 'deny' ? decision.reasons : [] };
}
