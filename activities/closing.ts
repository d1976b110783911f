import type { AuditEventType } from '../domain/audit-event';
import { probeEvidenceOf } from '../domain/probe';
import { tellAgent } from './agent-callback';
import { AtbError } from '../domain/error';
import type { PoaRequest } from '../domain/mandate-request';
import type { ReceivedVerdict, RequestRecord } from '../domain/ports';
import type { ActivityPorts } from './ports';
import { closeProbe } from './probe';
import type { ClosingInput, Denial } from './types';

const EVENT_OF_STATE = {
  denied: 'poa_denied',
  rejected: 'poa_rejected',
  withdrawn: 'poa_withdrawn',
  expired: 'poa_expired',
  cancelled: 'poa_cancelled',
} as const satisfies Record<ClosingInput['state'], AuditEventType>;

/**
 * Ends a request, whose time is over or which nobody wants any more; answers the denial where a recorded no should have
 * ended it before. False where a mandate was issued.
 */
export async function endRequest(ports: ActivityPorts, input: ClosingInput): Promise<boolean | Denial> {
  const { request, agent, tier } = input;
  if (probeEvidenceOf(request) !== undefined) return closeProbe(ports, input);
  // Also where it has ended the request by now: a repeat is answered alike.
  const no = recordedNo(await ports.ledger.recordOf(request.requestId));
  return no ? closedByNo(ports, request, no, { agent, tier }) : closeRequest(ports, input);
}

export async function closeRequest(ports: ActivityPorts, input: ClosingInput): Promise<boolean> {
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

/**
 * A no of somebody that was recorded for a request which goes on all the same: its step broke off between the two, and
 * nobody came again. It ends the request, whoever looks at it next.
 */
export function noOnRecord(record: RequestRecord): (ReceivedVerdict & { no: string }) | null {
  return record.closed ? null : recordedNo(record);
}

function recordedNo({ verdicts }: RequestRecord): (ReceivedVerdict & { no: string }) | null {
  const found = verdicts.find(({ no }) => no !== undefined);
  return found?.no === undefined ? null : { ...found, no: found.no };
}

/** Ends a request by such a no. Throws `already_issued`. */
export async function closedByNo(
  ports: ActivityPorts,
  request: PoaRequest,
  no: ReceivedVerdict,
  { agent, tier }: Pick<Denial, 'agent' | 'tier'>,
): Promise<Denial> {
  const why = { code: 'rejected', reasons: ['rejected'] } as const;
  if (!(await closeRequest(ports, { request, agent, tier, state: 'rejected', actor: no.by, ...why }))) {
    throw new AtbError('already_issued', 'a mandate was issued for this request before');
  }
  return { effect: 'deny', agent, tier, policyRevision: ports.policy.revision, ...why };
}
