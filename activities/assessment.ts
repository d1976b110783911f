import { isErrorCode } from '../domain/error';
import type { ErrorCode } from '../domain/error';
import { toApprove } from '../domain/mandate-request';
import type { AskedMandate } from '../domain/mandate-request';
import { policyInputOf } from '../domain/policy';
import type {
  AllowingDecision,
  ClimbedRung,
  DenyingDecision,
  PolicyDecision,
  PolicyInput,
  VerdictFact,
} from '../domain/policy';
import type { RequestRecord } from '../domain/ports';
import type { ActivityPorts } from './ports';
import type { Assessment, Denial } from './types';

/** A request whose agent is known for certain. */
export interface IdentifiedRequest {
  readonly requestId: string;
  readonly asked: AskedMandate;
  readonly agent: string;
  readonly climbed: readonly ClimbedRung[];
  /** Those who answered a probe before: what suspends them elsewhere must not show in it. */
  readonly answered?: readonly string[];
}

/** The rungs that the audit log knows: a history that tells of others makes nobody eligible. */
export function climbedBy({ requestedAt, rungs }: RequestRecord): readonly ClimbedRung[] {
  if (requestedAt === null) return [];
  return rungs.map(({ rung, climbedAt }) => ({
    rung,
    waitedSeconds: epochSeconds(climbedAt) - epochSeconds(requestedAt),
  }));
}

/** Asks policy about a request, with the ticket as it is now and the verdicts in hand. */
export async function decide(
  ports: ActivityPorts,
  request: IdentifiedRequest,
  verdicts: readonly VerdictFact[],
): Promise<PolicyDecision> {
  return ports.policy.decide(await policyInput(ports, request, verdicts));
}

/** All that policy is told of a request now. */
export async function policyInput(
  ports: ActivityPorts,
  { asked, agent, climbed, answered = [] }: IdentifiedRequest,
  verdicts: readonly VerdictFact[],
): Promise<PolicyInput> {
  return policyInputOf(agent, asked, {
    ticketFact: asked.ticket === null ? null : await ports.tickets.lookUp(asked.ticket),
    verdicts,
    ...(verdicts.length > 0 && {
      suspended: (await ports.probes.suspended()).filter((person) => !answered.includes(person)),
    }),
    climbed,
    now: epochSeconds(ports.clock()),
  });
}

export function assessmentOf(
  ports: ActivityPorts,
  request: IdentifiedRequest,
  decision: AllowingDecision,
): Assessment {
  const { requestId, asked, agent } = request;
  return {
    agent,
    tier: decision.tier,
    policyRevision: decision.policyRevision,
    requirement: decision.requirement,
    outstanding: decision.outstanding,
    waitingOn: decision.waitingOn,
    eligibleApprovers: decision.eligibleApprovers,
    priority: decision.priority,
    escalation: decision.escalation,
    reminders: decision.reminders,
    expiresAfterSeconds: decision.expiresAfterSeconds,
    collectWithinSeconds: decision.collectWithinSeconds,
    polling: decision.polling,
    toApprove: toApprove(requestId, asked, {
      subject: agent,
      limits: decision.limits,
      audience: ports.audience,
      reversal: decision.reversal,
    }),
    ...(decision.raises.length > 0 && { raises: decision.raises }),
  };
}

export function denialOf(agent: string, decision: DenyingDecision): Denial {
  return {
    effect: 'deny',
    agent,
    tier: decision.tier,
    policyRevision: decision.policyRevision,
    code: codeOf(decision.reasons),
    reasons: decision.reasons,
    ...(decision.faults.length > 0 && { faults: decision.faults }),
  };
}

/** One known reason is its own code; several, or one that only policy knows, are `policy_denied`. */
export function codeOf(reasons: readonly string[]): ErrorCode {
  const [reason] = reasons;
  return reasons.length === 1 && reason !== undefined && isErrorCode(reason) ? reason : 'policy_denied';
}

export function epochSeconds(time: Date): number {
  return Math.floor(time.getTime() / 1000);
}

export function fromEpochSeconds(seconds: number): Date {
  return new Date(seconds * 1000);
}
