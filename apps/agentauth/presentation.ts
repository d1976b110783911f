import type { PolicyDecision, Polling, Requirement } from '../../domain/policy';
import type { VelocityRoom } from '../../domain/velocity';
import type { Answer, RecordedVerdict, RequestStatus } from '../../domain/request-status';
import { AtbError } from '../../domain/error';
import type { Recollection } from '../../domain/recollection';
import type { RecentRequest } from './poa-requests';

// Before policy has said how often.
const UNASSESSED: Polling = { intervalSeconds: 5, slowDownSeconds: 5 };

/** How often the agent may ask after this request. */
export function pollingOf(status: RequestStatus | Recollection): Polling {
  return ('polling' in status ? status.polling : undefined) ?? UNASSESSED;
}

/** What GET /requests/:id shows: everything but the mandate. */
export function statusJson(status: RequestStatus | Recollection): Record<string, unknown> {
  const every = {
    request_id: status.requestId,
    state: status.state,
    act: status.act,
    ticket: status.ticket,
    justification: status.justification,
    requested_at: rfc3339(status.requestedAt),
  };
  switch (status.state) {
    case 'pending':
      if (!status.assessed) return { ...every, interruption: interruption(status) };
      return {
        ...every,
        ...assessedJson(status),
        outstanding: status.outstanding,
        waiting_on: status.waitingOn,
        eligible_approvers: status.eligibleApprovers,
        pending_since: rfc3339(status.pendingSince),
        expires_at: rfc3339(status.expiresAt),
        next_escalation: status.nextRung && { at: rfc3339(status.nextRung.at), roles: status.nextRung.roles },
        interruption: interruption(status),
        poll_interval_seconds: pollingOf(status).intervalSeconds,
      };
    case 'approved':
      return { ...every, ...assessedJson(status), approved_until: rfc3339(status.approvedUntil) };
    case 'issued':
      return { ...every, ...assessedJson(status), jti: status.jti, expires_at: rfc3339(status.expiresAt) };
    case 'denied':
    case 'rejected':
    case 'withdrawn':
    case 'expired':
    case 'cancelled':
      return {
        ...every,
        agent: status.agent,
        tier: status.tier,
        policy_revision: status.policyRevision,
        code: status.code,
        reasons: status.reasons,
        errors: status.faults ?? [],
        verdicts: status.verdicts.map(verdictJson),
      };
  }
}

/** What POST /issue and /collect answer with a mandate. Throws `request_finished` where only the log knows of it. */
export function mandateJson(status: Extract<RequestStatus, { state: 'issued' }>): Record<string, unknown> {
  const { requestId, state, tier, mandate, jti, expiresAt } = status;
  if (mandate === undefined) {
    throw new AtbError('request_finished', 'its mandate was issued, and the answer was lost: ask anew', {
      requestId,
    });
  }
  return { request_id: requestId, state, tier, mandate, jti, expires_at: rfc3339(expiresAt) };
}

export function planJson(decision: PolicyDecision, room: readonly VelocityRoom[]): Record<string, unknown> {
  const { effect, tier, policyRevision, raises, rules, faults } = decision;
  const every = { effect, tier, policy_revision: policyRevision, tier_raised: raises, rules, errors: faults };
  if (decision.effect === 'deny') return { ...every, reasons: decision.reasons };
  return {
    ...every,
    requirement: requirementJson(decision.requirement),
    limits: decision.limits,
    ttl_seconds: decision.ttlSeconds,
    eligible_approvers: decision.eligibleApprovers,
    velocity: room.map(({ rule, most, windowSeconds, taken, resetsAt }) => ({
      ...{ rule, most, window_seconds: windowSeconds, taken, resets_at: rfc3339(resetsAt) },
    })),
    // When the last of the limits that are reached opens again; null where there is room now.
    velocity_exceeded_until: lastOf(
      room.filter(({ taken, most }) => taken >= most).map(({ resetsAt }) => resetsAt),
    ),
    informed: decision.informed,
    consulted: decision.consulted,
    contacts: decision.contacts,
    reasons: [],
  };
}

function lastOf(moments: readonly number[]): string | null {
  return moments.length === 0 ? null : rfc3339(Math.max(...moments));
}

export function recentJson(recent: RecentRequest): Record<string, unknown> {
  const { requestId, act, tier, state, requestedAt } = recent;
  return { request_id: requestId, act, tier, state, requested_at: rfc3339(requestedAt) };
}

/** The new standing; throws the refusal of an update that changed nothing. */
export function standingOf(answer: Answer, requestId: string): RequestStatus {
  if (answer.done) return answer.status;
  const { code, message, reasons, retryAt } = answer;
  throw new AtbError(code, message, { reasons, requestId, ...retryAfter(retryAt) });
}

/** From a moment to the seconds that a client is told to wait (RFC 9110 §10.2.3). */
export function retryAfter(retryAt: number | undefined): { retryAfterSeconds?: number } {
  return retryAt === undefined
    ? {}
    : { retryAfterSeconds: Math.max(1, Math.ceil(retryAt - Date.now() / 1000)) };
}

function assessedJson(
  status: Extract<RequestStatus | Recollection, { toApprove: unknown }>,
): Record<string, unknown> {
  return {
    agent: status.agent,
    tier: status.tier,
    policy_revision: status.policyRevision,
    requirement: requirementJson(status.requirement),
    tier_reasons: (status.raises ?? []).map(({ to, detail }) => `${to}: ${detail}`),
    to_approve: status.toApprove,
    verdicts: status.verdicts.map(verdictJson),
  };
}

function requirementJson(requirement: Requirement): Record<string, unknown> {
  const { approvals, roles, dualControl, nominated, ticket, releaseRoles, attest, signedRequest, reason } =
    requirement;
  return {
    approvals,
    roles,
    dual_control: dualControl,
    nominated,
    ticket,
    release_roles: releaseRoles,
    attest,
    signed_request: signedRequest,
    reason,
  };
}

function verdictJson(verdict: RecordedVerdict): Record<string, unknown> {
  const { jti, by, role, verdict: word, reason, attests, receivedAt } = verdict;
  // Empty where the person was erased.
  return { jti, by: by || null, role, verdict: word, reason, attests, received_at: rfc3339(receivedAt) };
}

function interruption(status: Extract<RequestStatus, { state: 'pending' }>): Record<string, unknown> | null {
  if (!status.interruption) return null;
  const { code, since, nextTryAt } = status.interruption;
  return { code, since: rfc3339(since), next_try_at: rfc3339(nextTryAt) };
}

export function rfc3339(epochSeconds: number): string {
  return new Date(epochSeconds * 1000).toISOString().replace('.000Z', 'Z');
}
