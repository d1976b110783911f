import type { AuditEvent } from '../domain/audit-event';
import { canonicalJson } from '../domain/canonical-json';
import { sha256Base64url } from '../domain/digest';
import { isAtbError } from '../domain/error';
import type { AtbError } from '../domain/error';
import type { PoaRequest } from '../domain/mandate-request';
import type { AllowingDecision, PolicyDecision } from '../domain/policy';
import { probeEvidenceOf } from '../domain/probe';
import { ISSUE_PATH } from '../domain/signed-request';
import { askedDigest, askedRecord } from './asked';
import { assessmentOf, decide, denialOf } from './assessment';
import type { IdentifiedRequest } from './assessment';
import { identify, requireFresh } from './identity';
import type { ProvenCaller } from './identity';
import type { ActivityPorts } from './ports';
import { admitProbe } from './probe';
import type { Admission, Denial } from './types';

export async function admitRequest(ports: ActivityPorts, request: PoaRequest): Promise<Admission> {
  if (probeEvidenceOf(request) !== undefined) return admitProbe(ports, request);
  let caller: ProvenCaller;
  try {
    caller = await identify(ports, request.evidence, { path: ISSUE_PATH, asked: request.asked });
    await requireFreshOnce(ports, request, caller);
  } catch (error) {
    if (!isAtbError(error)) throw error;
    return await unidentified(ports, request, error);
  }
  const identified: IdentifiedRequest = {
    requestId: request.requestId,
    asked: request.asked,
    agent: caller.spiffeId,
    climbed: [],
  };
  const decision = await decide(ports, identified, []);
  if (decision.effect !== 'deny' && decision.requirement.signedRequest && !caller.signed) {
    return await unsigned(ports, request, caller.spiffeId, decision);
  }
  const requested = requestedEvent(ports, identified, decision);
  const pendingUntil =
    decision.effect === 'require'
      ? new Date(
          ports.clock().getTime() + (decision.expiresAfterSeconds + decision.collectWithinSeconds) * 1000,
        )
      : null;
  const entry = {
    requestId: request.requestId,
    subject: caller.spiffeId,
    askedDigest: askedDigest(request),
    pendingUntil,
    proofs: caller.proofs,
  };
  let admitted: Awaited<ReturnType<typeof ports.ledger.admit>>;
  try {
    admitted = await ports.ledger.admit(entry, requested, ports.pendingCaps);
  } catch (error) {
    if (!isAtbError(error) || error.code !== 'proof_replayed') throw error;
    return await unidentified(ports, request, error);
  }
  if (admitted === 'too_many_pending') {
    const denial: Denial = {
      effect: 'deny',
      agent: caller.spiffeId,
      tier: decision.tier,
      policyRevision: decision.policyRevision,
      code: 'too_many_pending',
      reasons: ['too_many_pending'],
    };
    await ports.ledger.append(deniedEvent(ports, request, denial));
    return denial;
  }
  if (decision.effect === 'deny') {
    const denial = denialOf(caller.spiffeId, decision);
    await ports.ledger.close(request.requestId, deniedEvent(ports, request, denial));
    return denial;
  }
  return { effect: decision.effect, assessment: assessmentOf(ports, identified, decision) };
}

/** A request that was recorded is not too old when it is looked at again: after a reset, or a store that was away. */
async function requireFreshOnce(
  ports: ActivityPorts,
  request: PoaRequest,
  caller: ProvenCaller,
): Promise<void> {
  try {
    requireFresh(caller, ports.clock());
  } catch (stale) {
    const { request: known } = await ports.ledger.recordOf(request.requestId);
    if (known?.subject !== caller.spiffeId || known.askedDigest !== askedDigest(request)) throw stale;
  }
}

/** Policy wants the agent's own signature over such a request, and there is none. */
async function unsigned(
  ports: ActivityPorts,
  request: PoaRequest,
  agent: string,
  { tier, policyRevision }: AllowingDecision,
): Promise<Denial> {
  const denial: Denial = {
    ...{ effect: 'deny', agent, tier, policyRevision },
    ...{ code: 'signed_request_required', reasons: ['signed_request_required'] },
  };
  await ports.ledger.append(deniedEvent(ports, request, denial));
  return denial;
}

async function unidentified(ports: ActivityPorts, request: PoaRequest, error: AtbError): Promise<Denial> {
  const denial: Denial = {
    effect: 'deny',
    agent: null,
    tier: null,
    policyRevision: null,
    code: error.code,
    reasons: [error.code],
  };
  await ports.ledger.append(deniedEvent(ports, request, denial));
  return denial;
}

function requestedEvent(
  ports: ActivityPorts,
  request: IdentifiedRequest,
  { tier, publicParams }: PolicyDecision,
): AuditEvent {
  const { asked, personal, subjects } = askedRecord(request, publicParams);
  return {
    id: `${request.requestId}/poa_requested`,
    type: 'poa_requested',
    time: ports.clock(),
    requestId: request.requestId,
    actor: request.agent,
    subject: request.agent,
    action: request.asked.act,
    tier,
    reasons: [],
    personal: { ...personal, ...(subjects.length > 0 && { '/data/asked_digest': subjects }) },
    data: {
      asked,
      asked_digest: sha256Base64url(canonicalJson(request.asked)),
      policy_revision: ports.policy.revision,
      ticket: request.asked.ticket,
    },
  };
}

export function deniedEvent(ports: ActivityPorts, request: PoaRequest, denial: Denial): AuditEvent {
  return {
    id: `${request.requestId}/poa_denied`,
    type: 'poa_denied',
    time: ports.clock(),
    requestId: request.requestId,
    actor: denial.agent,
    subject: denial.agent,
    action: request.asked.act,
    tier: denial.tier,
    reasons: denial.reasons,
    data: { code: denial.code, policy_revision: denial.policyRevision },
  };
}
