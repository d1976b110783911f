import type { AuditEvent } from '../domain/audit-event';
import { probeEvidenceOf } from '../domain/probe';
import { addressees } from './addressees';
import { askedDigest } from './asked';
import { tellAgent } from './agent-callback';
import { assessmentOf, climbedBy, denialOf } from './assessment';
import type { IdentifiedRequest } from './assessment';
import { closedByNo, noOnRecord } from './closing';
import { recordedVerdicts } from './evidence';
import { closedAsForgotten, closedBy, decideOn, isForgotten, requireRecorded } from './issuance';
import type { ActivityPorts } from './ports';
import { reclassifyProbe } from './probe';
import type { Reassessment, ReassessmentInput, Reclassification, ReclassificationInput } from './types';

/**
 * Policy moved while people slept. Verdicts that still count stay, what is missing is asked for, and what is no longer
 * allowed is denied with the reason. The agent and those who are awaited are told. Null where a mandate was recorded, or
 * an end: policy may not take it back, and the request stands as it is.
 */
export async function reclassify(
  ports: ActivityPorts,
  input: ReclassificationInput,
): Promise<Reclassification | null> {
  const { request, statements, waited } = input;
  if (probeEvidenceOf(request) !== undefined) return reclassifyProbe(ports, input);
  const record = await ports.ledger.recordOf(request.requestId);
  // Its agent may not have it yet, where the answer was lost: it comes again for it.
  if (record.mandate || record.closed) return null;
  if (isForgotten(record)) {
    return { outcome: 'denied', denial: await closedAsForgotten(ports, request, record) };
  }
  const agent = requireRecorded(record, askedDigest(request));
  const { requestId, asked } = request;
  const identified: IdentifiedRequest = { requestId, asked, agent, climbed: climbedBy(record) };
  const verified = await recordedVerdicts(ports, requestId, statements, record.verdicts);
  const { decision, counting } = await decideOn(ports, identified, verified);
  const no = noOnRecord(record);
  if (no) {
    const { tier } = decision;
    return { outcome: 'denied', denial: await closedByNo(ports, request, no, { agent, tier }) };
  }
  if (decision.effect === 'deny') {
    return { outcome: 'denied', denial: await closedBy(ports, request, denialOf(agent, decision)) };
  }
  const kept = counting.map(({ statement }) => statement);
  const met = decision.effect === 'issue';
  const revision = decision.policyRevision;
  const event: AuditEvent = {
    id: `${request.requestId}/poa_reclassified/${revision}`,
    type: 'poa_reclassified',
    time: ports.clock(),
    requestId: request.requestId,
    actor: null,
    subject: agent,
    action: request.asked.act,
    tier: decision.tier,
    reasons: [],
    data: {
      policy_revision: revision,
      state: met ? 'approved' : 'pending',
      kept: kept.length,
      of: statements.length,
    },
  };
  await ports.ledger.append(event);
  if (met === waited) {
    await tellAgent(ports, request, { agent, state: met ? 'approved' : 'pending', id: `policy/${revision}` });
  }
  const toTell = met ? [] : newlyAwaited(input, kept, decision.waitingOn);
  if (toTell.length > 0) {
    await ports.notifier.notify({
      id: event.id,
      kind: 'approval_wanted',
      requestId: request.requestId,
      ...(await addressees(ports, toTell)),
      facts: {
        action: request.asked.act,
        agent,
        tier: decision.tier,
        ticket: request.asked.ticket,
        justification: null,
      },
      text: `policy changed: ${decision.tier} ${request.asked.act} for ${agent} waits for ${decision.waitingOn.join(', ')}: atb show ${request.requestId}`,
    });
  }
  return { outcome: met ? 'met' : 'required', assessment: assessmentOf(ports, identified, decision), kept };
}

/** Everybody who is awaited where the request waits anew, or a verdict was lost; else those whom nobody awaited before. */
function newlyAwaited(
  { waited, waitingOn, statements }: ReclassificationInput,
  kept: readonly string[],
  roles: readonly string[],
): readonly string[] {
  if (!waited || kept.length < statements.length) return roles;
  return waitingOn === undefined ? [] : roles.filter((role) => !waitingOn.includes(role));
}

/**
 * Who may approve is not the same when a rung was climbed, or somebody went away. What speaks against the request by
 * now is left to the signing step: nothing ends here.
 */
export async function reassess(
  ports: ActivityPorts,
  { request, statements }: ReassessmentInput,
): Promise<Reassessment> {
  if (probeEvidenceOf(request) !== undefined) return null;
  const record = await ports.ledger.recordOf(request.requestId);
  if (record.closed || record.mandate || isForgotten(record) || noOnRecord(record)) return null;
  const agent = requireRecorded(record, askedDigest(request));
  const { requestId, asked } = request;
  const identified: IdentifiedRequest = { requestId, asked, agent, climbed: climbedBy(record) };
  const verified = await recordedVerdicts(ports, requestId, statements, record.verdicts);
  const { decision, counting } = await decideOn(ports, identified, verified);
  if (decision.effect === 'deny') return null;
  const met = decision.effect === 'issue';
  if (met) await tellAgent(ports, request, { agent, state: 'approved', id: 'approved/reassessed' });
  return {
    outcome: met ? 'met' : 'required',
    assessment: assessmentOf(ports, identified, decision),
    kept: counting.map(({ statement }) => statement),
  };
}
