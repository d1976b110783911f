import { sha256Base64url } from '../domain/digest';
import { AtbError } from '../domain/error';
import type { AuditEvent, AuditEventType } from '../domain/audit-event';
import type { PoaRequest } from '../domain/mandate-request';
import { parseProbes, probeEvidenceOf } from '../domain/probe';
import { canonicalJson } from '../domain/canonical-json';
import { askedDigest } from './asked';
import { assessmentOf, codeOf, decide, denialOf } from './assessment';
import type { IdentifiedRequest } from './assessment';
import { recordOf, verifyVerdict } from './evidence';
import type { VerifiedVerdict } from './evidence';
import { judged } from './judgement';
import { tellReleasers } from './escalation';
import type { ActivityPorts } from './ports';
import { orRefusal } from './failure';
import { standing } from './proposal';
import type { Admission, ClosingInput, Reclassification, ReclassificationInput, VerdictInput } from './types';
import type { VerdictOutcome } from './types';

/**
 * Begins a probe: a decoy that looks like a request to those who are asked. It is one by a proposal that was signed off
 * and names exactly this. No `poa_requested` is ever recorded for it, and its row can hold no mandate: the signing step
 * finds nothing to sign.
 */
export async function admitProbe(ports: ActivityPorts, request: PoaRequest): Promise<Admission> {
  const { proposal = '', turn = 0 } = probeEvidenceOf(request) ?? {};
  const { proposal: recorded, end } = await ports.proposals.recordOf(proposal);
  const signedOff = end === 'approved' && (await standing(ports, proposal)).effect === 'approved';
  if (recorded?.kind !== 'probe' || !signedOff) {
    throw new AtbError('evidence_mismatch', 'no probe was signed off under this proposal');
  }
  const { agent, asked: series } = parseProbes(recorded);
  const asked = series[turn];
  if (!asked || sha256Base64url(canonicalJson(asked)) !== askedDigest(request)) {
    throw new AtbError('evidence_mismatch', 'the probe that was signed off is another');
  }
  const identified: IdentifiedRequest = { requestId: request.requestId, asked, agent, climbed: [] };
  const decision = await decide(ports, identified, []);
  const begun = {
    ...eventOf(ports, request, 'probe_begun', { agent, tier: decision.tier }),
    data: { proposal },
  };
  const { requestId } = request;
  const entry = { requestId, subject: agent, askedDigest: askedDigest(request), proposal, turn };
  await ports.probes.begin(entry, begun);
  if (decision.effect === 'require') {
    return { effect: 'require', assessment: assessmentOf(ports, identified, decision) };
  }
  // Nobody would be asked.
  const reasons = decision.effect === 'deny' ? decision.reasons : ['probe_asks_nobody'];
  await ports.ledger.close(
    requestId,
    endedEvent(ports, request, { agent, tier: decision.tier, state: 'denied', reasons }),
  );
  const { tier, policyRevision } = decision;
  return { effect: 'deny', agent, tier, policyRevision, code: codeOf(reasons), reasons };
}

/**
 * A verdict on a probe is judged as any other. One that counts and says yes was given without reading: the person's
 * verdicts count no more until somebody of Security's lead lifts it. Nothing else comes of it.
 */
export async function answerProbe(
  ports: ActivityPorts,
  { request, counted, statement, onlyReject }: VerdictInput,
): Promise<VerdictOutcome> {
  const { request: entry, closed } = await ports.ledger.recordOf(request.requestId);
  if (entry?.askedDigest !== askedDigest(request)) {
    throw new AtbError('request_unknown', 'no such request was recorded');
  }
  if (closed) throw new AtbError('request_finished', 'the request is finished');
  const { requestId, asked } = request;
  const now = ports.clock();
  const before = await stillVerified(ports, counted, now);
  const identified: IdentifiedRequest = {
    ...{ requestId, asked, agent: entry.subject, climbed: [] },
    answered: before.map(({ by }) => by),
  };
  const verified = await verifyVerdict(ports, statement, now);
  if (onlyReject === true && verified.signed.claims.verdict !== 'reject') {
    throw new AtbError('request_finished', 'the request is approved');
  }
  const { decision, assessment } = await judged(ports, identified, before, verified);
  const { verdict, role, jti } = verified.signed.claims;
  const who = { actor: verified.by, personal: { '/actor': verified.by } };
  const about = { agent: entry.subject, tier: decision.tier };
  await ports.ledger.append({
    ...eventOf(ports, request, 'probe_answered', about, jti),
    ...who,
    data: { verdict, role, jti, statement_digest: sha256Base64url(statement) },
  });
  if (assessment === 'rejected') return { outcome: 'rejected', verdict: recordOf(verified) };
  if (decision.effect === 'require') await tellReleasers(ports, request, entry.subject, decision, jti);
  await ports.probes.suspend(verified.by, requestId, {
    ...eventOf(ports, request, 'approver_suspended', about, jti),
    ...who,
    data: { jti },
  });
  return {
    ...{ outcome: 'counted', verdict: recordOf(verified), assessment },
    effect: decision.effect === 'issue' ? 'issue' : 'require',
  };
}

/** Another policy: what is no longer allowed would not be asked any more. */
export async function reclassifyProbe(
  ports: ActivityPorts,
  { request, agent, statements }: ReclassificationInput,
): Promise<Reclassification> {
  const { requestId, asked } = request;
  const identified: IdentifiedRequest = { requestId, asked, agent, climbed: [] };
  const decision = await decide(ports, identified, []);
  if (decision.effect === 'require') {
    const assessment = assessmentOf(ports, identified, decision);
    return { outcome: 'required', assessment, kept: statements };
  }
  const reasons = decision.effect === 'deny' ? decision.reasons : ['probe_asks_nobody'];
  const { tier, policyRevision } = decision;
  await ports.ledger.close(requestId, endedEvent(ports, request, { agent, tier, state: 'denied', reasons }));
  const denial =
    decision.effect === 'deny'
      ? denialOf(agent, decision)
      : { effect: 'deny' as const, agent, tier, policyRevision, code: codeOf(reasons), reasons };
  return { outcome: 'denied', denial };
}

export function closeProbe(ports: ActivityPorts, input: ClosingInput): Promise<boolean> {
  return ports.ledger.close(input.request.requestId, endedEvent(ports, input.request, input));
}

async function stillVerified(
  ports: ActivityPorts,
  statements: readonly string[],
  now: Date,
): Promise<readonly VerifiedVerdict[]> {
  const verified: VerifiedVerdict[] = [];
  for (const statement of statements) {
    const verdict = await orRefusal(() => verifyVerdict(ports, statement, now));
    if (!(verdict instanceof AtbError)) verified.push(verdict);
  }
  return verified;
}

function endedEvent(
  ports: ActivityPorts,
  request: PoaRequest,
  { agent, tier, state, reasons }: Pick<ClosingInput, 'agent' | 'tier' | 'state' | 'reasons'>,
): AuditEvent {
  return { ...eventOf(ports, request, 'probe_ended', { agent, tier }), reasons, data: { state } };
}

function eventOf(
  ports: ActivityPorts,
  { requestId, asked }: PoaRequest,
  type: AuditEventType & `${'probe' | 'approver'}_${string}`,
  { agent, tier }: Pick<ClosingInput, 'agent' | 'tier'>,
  more?: string,
): Omit<AuditEvent, 'data'> {
  return {
    id: more === undefined ? `${requestId}/${type}` : `${requestId}/${type}/${more}`,
    ...{ type, time: ports.clock(), requestId, actor: null },
    ...{ subject: agent, action: asked.act, tier, reasons: [] },
  };
}
