import type { AuditEventType } from '../domain/audit-event';
import { probeEvidenceOf } from '../domain/probe';
import { tellAgent } from './agent-callback';
import type { ActivityPorts } from './ports';
import { closeProbe } from './probe';
import type { ClosingInput } from './types';

const EVENT_OF_STATE = {
  denied: 'poa_denied',
  rejected: 'poa_rejected',
  withdrawn: 'poa_withdrawn',
  expired: 'poa_expired',
  cancelled: 'poa_cancelled',
} as const satisfies Record<ClosingInput['state'], AuditEventType>;

export async function closeRequest(ports: ActivityPorts, input: ClosingInput): Promise<boolean> {
  if (probeEvidenceOf(input.request) !== undefined) return closeProbe(ports, input);
  const { request, agent, tier, state, actor, code, reasons } = input;
  const type = EVENT_OF_STATE[state];
  const closed = await ports.ledger.close(request.requestId, {
    id: `${request.requestId}/${type}`,
    type,
    time: ports.clock(),
    requestId: request.requestId,
    actor,
    subject: agent,
    action: request.asked.act,
    tier,
    reasons,
    // The agent itself, or else a person.
    ...(actor !== null && actor !== agent && { personal: { '/actor': actor } }),
    data: { code, policy_revision: ports.policy.revision },
  });
  if (closed && agent !== null) await tellAgent(ports, request, { agent, state, id: state });
  return closed;
}
