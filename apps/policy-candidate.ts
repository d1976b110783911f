import { createWriteStream } from 'node:fs';
import { Logger } from '@nestjs/common';
import { Counter, Gauge } from 'prom-client';
import type { Registry } from 'prom-client';
import { standing } from '../activities';
import type { PolicyApprovalPorts } from '../activities';
import { RolloutPolicy } from '../adapters/opa/rollout-policy';
import type { Comparison } from '../adapters/opa/rollout-policy';
import { parsePolicyRollout } from '../domain/policy-rollout';
import type { OpenPolicy, PolicyConfiguration } from './policy';
import { signedOffPolicies } from './policy-gate';

/** The policy, with a candidate beside it where the configuration names one (operating model §2.3). */
export async function withCandidate(
  stable: OpenPolicy,
  configuration: PolicyConfiguration,
  ports: Omit<PolicyApprovalPorts, 'policy'>,
  metrics: CandidateMetrics,
): Promise<OpenPolicy> {
  const { candidateFile: bundleFile, publicKeyFile, pollSeconds, shadowFile } = configuration;
  if (bundleFile === undefined) return stable;
  const log = new Logger('Policy');
  const list =
    shadowFile === undefined ? undefined : createWriteStream(shadowFile, { flags: 'a', mode: 0o600 });
  list?.on('error', (error) => {
    log.error(`what policies decide otherwise cannot be listed: ${error.message}`);
  });
  return RolloutPolicy.over(stable, {
    ...{ bundleFile, publicKeyFile, pollSeconds },
    gate: signedOffPolicies(ports),
    share: async (revision, judge) => {
      const newest = await ports.proposals.rolloutOf(revision);
      if (newest === null) return 0;
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

/** What a process tells of a candidate beside its policy. */
export interface CandidateMetrics {
  readonly shadowed: Counter<'outcome'>;
  readonly canaryPercent: Gauge;
}

export function candidateMetrics(registry: Registry): CandidateMetrics {
  return {
    shadowed: new Counter({
      name: 'atb_policy_shadow_total',
      help: 'Answers that two policies were asked for, by outcome: same, different, failed',
      labelNames: ['outcome'] as const,
      registers: [registry],
    }),
    canaryPercent: new Gauge({
      name: 'atb_policy_canary_percent',
      help: 'The share of requests that the candidate policy decides',
      registers: [registry],
    }),
  };
}

function listed({ question, outcome, action, decided, other }: Comparison) {
  return {
    time: new Date().toISOString(),
    ...{ question, outcome, action },
    decided: inShort(decided),
    other: other && inShort(other),
  };
}

function inShort(answer: Comparison['decided']) {
  const { effect, tier, policyRevision } = answer;
  return { effect, tier, policyRevision, reasons: 'reasons' in answer ? answer.reasons : [] };
}
