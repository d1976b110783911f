import type { AuditEvent } from '../domain/audit-event';
import { canonicalJson } from '../domain/canonical-json';
import { sha256Base64url } from '../domain/digest';
import { AtbError, isAtbError } from '../domain/error';
import type { IdentityEvidence, PoaRequest } from '../domain/mandate-request';
import type { Svid } from '../domain/ports';
import { parseAtbSpiffeId } from '../domain/spiffe-id';
import { assessmentOf, decide, denialOf, epochSeconds, fromEpochSeconds } from './assessment';
import type { IdentifiedRequest } from './assessment';
import type { ActivityPorts } from './ports';
import type { Admission, Denial } from './types';

// A process that fronts us may be a little ahead; anything more is not the time of presenting.
const CLOCK_SKEW_SECONDS = 10;

export async function admitRequest(ports: ActivityPorts, request: PoaRequest): Promise<Admission> {
  let svid: Svid;
  try {
    svid = identify(ports, request.evidence);
  } catch (error) {
    if (!isAtbError(error)) throw error;
    return await unidentified(ports, request, error);
  }
  const identified: IdentifiedRequest = {
    requestId: request.requestId,
    asked: request.asked,
    agent: svid.spiffeId,
  };
  const decision = await decide(ports, identified, []);
  const requested = requestedEvent(ports, identified, decision.tier);
  const pendingUntil =
    decision.effect === 'require'
      ? new Date(
          ports.clock().getTime() + (decision.expiresAfterSeconds + decision.collectWithinSeconds) * 1000,
        )
      : null;
  const entry = {
    requestId: request.requestId,
    subject: svid.spiffeId,
    askedDigest: askedDigest(request),
    pendingUntil,
  };
  const admitted = await ports.ledger.admit(entry, requested, ports.pendingCaps);
  if (admitted === 'too_many_pending') {
    const denial: Denial = {
      effect: 'deny',
      agent: svid.spiffeId,
      tier: decision.tier,
      policyRevision: decision.policyRevision,
      code: 'too_many_pending',
      reasons: ['too_many_pending'],
    };
    await ports.ledger.append(deniedEvent(ports, request, denial));
    return denial;
  }
  if (decision.effect === 'deny') {
    const denial = denialOf(svid.spiffeId, decision);
    await ports.ledger.close(request.requestId, deniedEvent(ports, request, denial));
    return denial;
  }
  return { effect: decision.effect, assessment: assessmentOf(ports, identified, decision) };
}

/**
 * The SVID behind a piece of evidence, as of when it was presented: a request that was accepted goes on even where
 * a store was out of reach until the certificate had expired. Throws the 401 codes.
 */
export function identify(ports: ActivityPorts, evidence: IdentityEvidence): Svid {
  if (evidence.presentedAt > epochSeconds(ports.clock()) + CLOCK_SKEW_SECONDS) {
    throw new AtbError('svid_malformed', 'the certificate was presented in the future');
  }
  const svid = ports.svids.validate(evidence.chain, fromEpochSeconds(evidence.presentedAt));
  // One spelling for one principal: SPIFFE allows upper case in a path, we do not.
  parseAtbSpiffeId(svid.spiffeId);
  return svid;
}

/** What was asked, as one digest: the database remembers it, so that no history can change it later. */
export function askedDigest({ asked }: PoaRequest): string {
  return sha256Base64url(canonicalJson(asked));
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
  tier: AuditEvent['tier'],
): AuditEvent {
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
    data: {
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
