import type { AuditEventType } from '../domain/audit-event';
import { probeEvidenceOf } from '../domain/probe';
import { tellAgent } from './agent-callback';
import { AtbError } from '../domain/error';
import type { PoaRequest } from '../domain/mandate-request';
import type { Recollection } from '../domain/recollection';
import type { ReceivedVerdict, RequestRecord } from '../domain/ports';
import type { ActivityPorts } from './ports';
import { closeProbe } from './probe';
import { recollect } from './recollection';
import type { ClosingInput, Denial } from './types';

const EVENT_OF_STATE = {
  denied: 'poa_denied',
  rejected: 'poa_rejected',
  withdrawn: 'poa_withdrawn',
  expired: 'poa_expired',
  cancelled: 'poa_cancelled',
} as const satisfies Record<ClosingInput['state'], AuditEventType>;

type ClosingPorts = Pick<ActivityPorts, 'ledger' | 'clock' | 'policy' | 'notifier'>;

/** What of a request its end needs; the action is null where nobody knows it. */
interface Closing extends Omit<ClosingInput, 'request'> {
  readonly request: { readonly requestId: string; readonly asked: { readonly act: string | null } };
}

/**
 * Ends a request, whose time is over or which nobody wants any more. Answers how it ended by the log, where that is
 * otherwise: a mandate was issued, or it was closed before, by a step whose answer was lost; or a recorded no should
 * have ended it. False where the log has no such request.
 */
export async function endRequest(ports: ActivityPorts, input: ClosingInput): Promise<boolean | Recollection> {
  const { request, agent, state } = input;
  if (probeEvidenceOf(request) !== undefined) return closeProbe(ports, input);
  const no = recordedNo(await ports.ledger.recordOf(request.requestId));
  await recordEnd(ports, no ? { ...input, ...rejectedBy(no) } : input);
  const end = await recollect(ports, request.requestId);
  if (!end) return false;
  if (end.state !== 'issued') await tellEnd(ports, { request, agent, state: end.state });
  return end.state === state || end;
}

/** Ends a request and tells its agent. False where a mandate was issued. */
export async function closeRequest(ports: ClosingPorts, input: Closing): Promise<boolean> {
  const closed = await recordEnd(ports, input);
  if (closed) await tellEnd(ports, input);
  return closed;
}

function recordEnd(ports: ClosingPorts, input: Closing): Promise<boolean> {
  const { request, agent, tier, state, actor, code, reasons } = input;
  const type = EVENT_OF_STATE[state];
  return ports.ledger.close(request.requestId, {
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
}

async function tellEnd(
  ports: ClosingPorts,
  { request, agent, state }: Pick<Closing, 'request' | 'agent' | 'state'>,
): Promise<void> {
  if (agent !== null) await tellAgent(ports, request, { agent, state, id: state });
}

/**
 * A no of somebody that was recorded for a request which goes on all the same: its step broke off between the two, and
 * nobody came again. It ends the request, whoever looks at it next.
 */
export function noOnRecord(record: RequestRecord): (ReceivedVerdict & { no: string }) | null {
  return record.closed ? null : recordedNo(record);
}

/** The end that such a no is. */
export function rejectedBy({ by }: Pick<ReceivedVerdict, 'by'>) {
  return { state: 'rejected', actor: by, code: 'rejected', reasons: ['rejected'] } as const;
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
  const end = rejectedBy(no);
  if (!(await closeRequest(ports, { request, agent, tier, ...end }))) {
    throw new AtbError('already_issued', 'a mandate was issued for this request before');
  }
  const { code, reasons } = end;
  return { effect: 'deny', agent, tier, policyRevision: ports.policy.revision, code, reasons };
}
