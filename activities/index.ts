import type { PoaRequest } from '../domain/mandate-request';
import { admitRequest } from './admission';
import { endRequest } from './closing';
import { digestPeriodSeconds, tellInformed } from './digest';
import { escalate, remind } from './escalation';
import { byCode } from './failure';
import { introspectMandate } from './introspection';
import { issueAtOnce } from './at-once';
import { confirmCaller, issueMandate } from './issuance';
import type { ActivityPorts } from './ports';
import { reassess, reclassify } from './reclassification';
import { closeReview, openReviews } from './review';
import { recollect } from './recollection';
import { revokeMandate } from './revocation';
import { applyRetention, planRetention } from './retention';
import { recordRejectedSignal } from './signal-rejection';
import { listStops, orderStop } from './stop';
import type { Activities } from './types';
import { exchangeToken } from './token-exchange';
import { roomOf } from './velocity';
import { recordVerdict } from './verdict';

export { closeLost } from './lost-request';
export { recordReset } from './workflow-reset';
export type { WorkflowReset } from './workflow-reset';
export type { Loss } from './lost-request';
export type { ActivityPorts } from './ports';
export { createChangeActivities } from './change';
export type { ChangePorts } from './change';
export { createConsultationActivities } from './consultation';
export { recordLostChange } from './lost-change';
export type { LostChangeRun } from './lost-change';
export { createChangeExecution } from './change-execution';
export { createIncidentActivities, recordLostIncident } from './incident';
export { createProposalActivities, standing } from './proposal';
export { createPolicyActivities, requirePolicyApproval } from './policy-approval';
export type { PolicyApprovalPorts } from './policy-approval';
export type { ProposalPorts } from './proposal';

/** The activities over their ports. Failures cross to the workflow by their code alone. */
export function createActivities(all: ActivityPorts): Activities {
  /** One step asks one revision of policy, from its first question to its last. */
  const step = <T>(
    work: (ports: ActivityPorts) => Promise<T>,
    request?: Pick<PoaRequest, 'requestId'>,
  ): Promise<T> => byCode(() => work({ ...all, policy: all.policy.snapshot(request?.requestId) }));
  return {
    admitRequest: (request) => step((ports) => admitRequest(ports, request), request),
    issueAtOnce: (request) => step((ports) => issueAtOnce(ports, request), request),
    recordVerdict: (input) => step((ports) => recordVerdict(ports, input), input.request),
    issueMandate: (input) => step((ports) => issueMandate(ports, input), input.request),
    closeRequest: (input) => step((ports) => endRequest(ports, input), input.request),
    escalate: (input) => step((ports) => escalate(ports, input), input.request),
    remind: (input) => step((ports) => remind(ports, input)),
    reclassify: (input) => step((ports) => reclassify(ports, input), input.request),
    reassess: (input) => step((ports) => reassess(ports, input), input.request),
    recordRejectedSignal: (input) => step((ports) => recordRejectedSignal(ports, input), input.request),
    confirmCaller: (input) => step((ports) => confirmCaller(ports, input)),
    revokeMandate: (input) => step((ports) => revokeMandate(ports, input)),
    digestPeriodSeconds: () => step((ports) => digestPeriodSeconds(ports)),
    tellInformed: (input) => step((ports) => tellInformed(ports, input)),
    listStops: (input) => step((ports) => listStops(ports, input)),
    openReviews: (input) => step((ports) => openReviews(ports, input)),
    closeReview: (input) => step((ports) => closeReview(ports, input)),
    orderStop: (input) => step((ports) => orderStop(ports, input)),
    exchangeToken: (input) => step((ports) => exchangeToken(ports, input)),
    planRetention: () => step(planRetention),
    applyRetention: (input) => step((ports) => applyRetention(ports, input)),
    roomOf: (limits) => step((ports) => roomOf(ports, limits)),
    introspectMandate: (input) => step((ports) => introspectMandate(ports, input)),
    recollect: (requestId) => step((ports) => recollect(ports, requestId)),
  };
}
