import type { AuditEvent } from '../domain/audit-event';
import type { PoaRequest } from '../domain/mandate-request';
import type { AllowingDecision } from '../domain/policy';
import { addressees } from './addressees';
import type { ActivityPorts } from './ports';
import type { EscalationInput } from './types';

/** Recorded before it is told: a rung that nobody heard of is worse than one told twice. */
export async function escalate(ports: ActivityPorts, input: EscalationInput): Promise<void> {
  const { request, agent, tier, rung, roles, pendingSince } = input;
  const id = `${request.requestId}/poa_escalated/${pendingSince}/${rung}`;
  const record: AuditEvent = {
    id,
    type: 'poa_escalated',
    time: ports.clock(),
    requestId: request.requestId,
    actor: null,
    subject: agent,
    action: request.asked.act,
    tier,
    reasons: [],
    data: { rung, roles },
  };
  // The first who are told are no escalation: the request has only just begun to wait.
  if (rung > 0) await ports.ledger.append(record);
  await ports.notifier.notify({
    id,
    kind: rung > 0 ? 'escalated' : 'approval_wanted',
    requestId: request.requestId,
    ...(await addressees(ports, roles)),
    facts: {
      action: request.asked.act,
      agent,
      tier,
      ticket: request.asked.ticket,
      justification: request.asked.justification,
    },
    text: `${tier} ${request.asked.act} for ${agent} waits for ${roles.join(', ')}: atb show ${request.requestId}`,
  });
}

/** All have approved, and only the release is missing: those who may give it have their turn now. */
export async function tellReleasers(
  ports: ActivityPorts,
  { requestId, asked }: PoaRequest,
  agent: string,
  { tier, outstanding, waitingOn }: AllowingDecision,
  /** Of the verdict that was the last. */
  jti: string,
): Promise<void> {
  if (!outstanding.release || outstanding.approvals > 0 || outstanding.attest.length > 0) return;
  const { act, ticket, justification } = asked;
  await ports.notifier.notify({
    id: `${requestId}/release_wanted/${jti}`,
    kind: 'approval_wanted',
    requestId,
    ...(await addressees(ports, waitingOn)),
    facts: { action: act, agent, tier, ticket, justification },
    text: `${tier} ${act} for ${agent} waits to be released by ${waitingOn.join(', ')}: atb show ${requestId}`,
  });
}

/** A second word to those who were asked already: no rung, and so no event. */
export async function remind(ports: ActivityPorts, input: EscalationInput): Promise<void> {
  const { request, agent, tier, rung, roles, pendingSince } = input;
  await ports.notifier.notify({
    id: `${request.requestId}/reminded/${pendingSince}/${rung}`,
    kind: 'reminder',
    requestId: request.requestId,
    ...(await addressees(ports, roles)),
    facts: { action: request.asked.act, agent, tier, ticket: request.asked.ticket, justification: null },
    text: `${tier} ${request.asked.act} for ${agent} still waits for ${roles.join(', ')}: atb show ${request.requestId}`,
  });
}
