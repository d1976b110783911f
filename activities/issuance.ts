import { randomBytes } from 'node:crypto';
import type { AuditEvent } from '../domain/audit-event';
import { canonicalJson } from '../domain/canonical-json';
import { sha256Base64url } from '../domain/digest';
import { AtbError, isAtbError } from '../domain/error';
import { approversOf, mandateClaimsOf, reversalClaimsOf } from '../domain/mandate';
import type { MandateClaims } from '../domain/mandate';
import { reversalTold } from '../domain/reversal';
import type { IdentityEvidence, PoaRequest } from '../domain/mandate-request';
import type { MandateEntry, RequestRecord } from '../domain/ports';
import { requirementRecord } from '../domain/policy';
import type { AllowingDecision, PolicyDecision, PolicyInput } from '../domain/policy';
import { ticketFactJson } from '../domain/ticket';
import { probeEvidenceOf } from '../domain/probe';
import { collectPath } from '../domain/signed-request';
import { exceededInWords } from '../domain/velocity';
import type { VelocityLimit, VelocityStanding } from '../domain/velocity';
import { assessmentOf, climbedBy, denialOf, policyInput, epochSeconds, fromEpochSeconds } from './assessment';
import type { IdentifiedRequest } from './assessment';
import { tellAgent } from './agent-callback';
import { deniedEvent } from './admission';
import { closedByNo, noOnRecord } from './closing';
import { askedDigest, askedRecord } from './asked';
import { approves, factOf, recordedVerdicts, recordOf } from './evidence';
import { recordBrokenGlass } from './break-glass';
import type { VerifiedVerdict } from './evidence';
import { identify, requireFresh } from './identity';
import type { Call, ProvenCaller } from './identity';
import type { ActivityPorts } from './ports';
import { orRefusal } from './failure';
import { requireNotStopped, tierStopped } from './stop';
import type { Denial, IssuanceInput, IssuanceOutcome, WithdrawalInput } from './types';

// 192 bits: far above the 128 that make a guess hopeless.
const JTI_BYTES = 24;
const SALT_BYTES = 24;

/**
 * The signing step. It is handed evidence and believes none of it: the request must be the recorded one, the
 * collector's certificate must be the requesting agent's, each statement must be recorded and verifies again, and
 * policy is asked again with the ticket as it is now. Then the database decides, once, and the record comes before
 * the signature.
 */
export async function issueMandate(
  ports: ActivityPorts,
  input: IssuanceInput,
  call: Call = { path: collectPath(input.request.requestId), asked: null },
): Promise<IssuanceOutcome> {
  const { request, statements } = input;
  if (probeEvidenceOf(request) !== undefined) {
    throw new AtbError('probe_never_issues', 'nobody asked for this: it is a probe');
  }
  const record = await ports.ledger.recordOf(request.requestId);
  if (isForgotten(record)) {
    if (record.mandate) return await reissued(ports, null);
    return { outcome: 'denied', denial: await closedAsForgotten(ports, request, record) };
  }
  const agent = requireRecorded(record, askedDigest(request));

  const caller = await orRefusal(() => identifyCollector(ports, input.collector, agent, call));
  if (caller instanceof AtbError) return { outcome: 'refused', code: caller.code, message: caller.message };
  let stoppedTiers: readonly string[];
  try {
    stoppedTiers = await requireNotStopped(ports, { requestId: request.requestId, agent });
    const tier = record.mandate?.claims?.tier;
    if (tier !== undefined && stoppedTiers.includes(tier)) throw tierStopped(tier);
  } catch (error) {
    if (!isAtbError(error) || error.code !== 'stopped') throw error;
    return { outcome: 'refused', code: error.code, message: error.message };
  }
  if (record.mandate) return await reissued(ports, record.mandate.claims);
  if (record.closed) throw new AtbError('request_finished', 'the request was closed before');

  const { requestId, asked } = request;
  const identified: IdentifiedRequest = { requestId, asked, agent, climbed: climbedBy(record) };
  const verified = await recordedVerdicts(ports, request.requestId, statements, record.verdicts);
  const { decision, counting, input: decidedOn } = await decideOn(ports, identified, verified);
  const no = noOnRecord(record);
  if (no) {
    const { tier } = decision;
    return { outcome: 'denied', denial: await closedByNo(ports, request, no, { agent, tier }) };
  }
  if (decision.effect === 'deny') {
    return { outcome: 'denied', denial: await closedBy(ports, request, denialOf(agent, decision)) };
  }
  if (decision.effect === 'require') {
    return {
      outcome: 'outdated',
      assessment: assessmentOf(ports, identified, decision),
      kept: counting.map(({ statement }) => statement),
    };
  }
  if (stoppedTiers.includes(decision.tier)) {
    const { code, message } = tierStopped(decision.tier);
    return { outcome: 'refused', code, message };
  }
  if (decision.requirement.signedRequest && !caller.signed) {
    return {
      outcome: 'refused',
      code: 'signed_request_required',
      message: 'policy wants the agent to sign the request that takes this mandate',
    };
  }
  await recordBrokenGlass(ports, identified, decision, counting);
  const claims = mandateClaims(ports, identified, decision, counting, caller);
  const about = everybodyIn(claims, request, decision);
  const event = issuedEvent(claims, decision, decidedOn, counting, about);
  try {
    return await recordedThenSigned(ports, { claims, about }, event, caller, decision.velocity);
  } catch (error) {
    if (!isAtbError(error) || error.code !== 'proof_replayed') throw error;
    return { outcome: 'refused', code: error.code, message: error.message };
  }
}

/** The agent of a request that the database remembers with exactly this content. */
export function requireRecorded(record: RequestRecord, digest: string): string {
  if (!record.request) throw new AtbError('evidence_mismatch', 'the request was never recorded');
  if (record.request.askedDigest !== digest || !record.requestedAt) {
    throw new AtbError('evidence_mismatch', 'the request is not the one that was recorded');
  }
  return record.request.subject;
}

/** Closes a request with its denial. Throws `already_issued`. */
export async function closedBy(ports: ActivityPorts, request: PoaRequest, denial: Denial): Promise<Denial> {
  if (!(await ports.ledger.close(request.requestId, deniedEvent(ports, request, denial)))) {
    throw new AtbError('already_issued', 'a mandate was issued for this request before');
  }
  await tellAgent(ports, request, { agent: denial.agent ?? '', state: 'denied', id: 'denied' });
  return denial;
}

/** Somebody whom the request is about was erased: nobody can know any more that it is what was asked. */
export function isForgotten({ request }: RequestRecord): boolean {
  return request?.askedDigest === null;
}

export function closedAsForgotten(
  ports: ActivityPorts,
  request: PoaRequest,
  record: RequestRecord,
): Promise<Denial> {
  const code = 'personal_data_erased';
  const agent = record.request?.subject ?? null;
  const { revision } = ports.policy;
  return closedBy(ports, request, {
    effect: 'deny',
    agent,
    tier: null,
    policyRevision: revision,
    code,
    reasons: [code],
  });
}

/** Whoever collects proves it with what is valid now, and is the agent that asked (attack 5). */
async function identifyCollector(
  ports: ActivityPorts,
  evidence: IdentityEvidence,
  agent: string,
  call: Call | null,
): Promise<ProvenCaller> {
  const caller = await identify(ports, evidence, call, ports.clock());
  requireFresh(caller, ports.clock());
  if (caller.spiffeId !== agent) {
    throw new AtbError('agent_mismatch', 'only the agent that asked may take the mandate');
  }
  return caller;
}

/** Policy with the verdicts that are for exactly today's content and still count. */
export async function decideOn(
  ports: ActivityPorts,
  request: IdentifiedRequest,
  verified: readonly VerifiedVerdict[],
): Promise<{
  readonly decision: PolicyDecision;
  readonly counting: readonly VerifiedVerdict[];
  readonly input: PolicyInput;
}> {
  const input = await policyInput(ports, request, verified.map(factOf));
  const first = await ports.policy.decide(input);
  if (first.effect === 'deny' || verified.length === 0) return { decision: first, counting: [], input };
  const content = assessmentOf(ports, request, first).toApprove;
  const current = verified.filter(({ signed }) => approves(signed, content));
  const decision =
    current.length === verified.length
      ? first
      : await ports.policy.decide({
          ...input,
          context: { ...input.context, verdicts: current.map(factOf) },
        });
  return {
    decision,
    input,
    counting: current.filter(({ signed }) => decision.verdicts[signed.claims.jti]?.counts === true),
  };
}

function mandateClaims(
  ports: ActivityPorts,
  { requestId, asked, agent }: IdentifiedRequest,
  decision: AllowingDecision,
  counting: readonly VerifiedVerdict[],
  caller: ProvenCaller,
): MandateClaims {
  const iat = epochSeconds(ports.clock());
  return mandateClaimsOf({
    ...{ issuer: ports.issuer, audience: ports.audience, agent, requestId, asked },
    limits: decision.limits,
    requirement: decision.requirement,
    verdicts: counting.map(recordOf),
    attestedByTicket: decision.attestedByTicket,
    tier: decision.tier,
    policyRevision: decision.policyRevision,
    jti: drawnJti(),
    reversal: decision.reversal && {
      terms: decision.reversal,
      jti: drawnJti(),
      exp: iat + decision.reversal.ttlSeconds,
    },
    iat,
    exp: iat + decision.ttlSeconds,
    confirmation: caller.confirmation,
    salt: randomBytes(SALT_BYTES).toString('base64url'),
  });
}

function drawnJti(): string {
  return randomBytes(JTI_BYTES).toString('base64url');
}

function everybodyIn(
  claims: MandateClaims,
  request: PoaRequest,
  { publicParams }: AllowingDecision,
): readonly string[] {
  return [...new Set([...askedRecord(request, publicParams).subjects, ...approversOf(claims.leg)])];
}

/** All that the mandate is made of, and all that policy was told: with it the claims can be made again (evidence). */
function issuedEvent(
  claims: MandateClaims,
  decision: AllowingDecision,
  { context }: PolicyInput,
  counting: readonly VerifiedVerdict[],
  about: readonly string[],
): AuditEvent {
  const { requirement } = decision;
  const approvers = approversOf(claims.leg);
  return {
    id: `${claims.req}/poa_issued`,
    type: requirement.dualControl ? 'poa_issued_dual_control' : 'poa_issued',
    time: fromEpochSeconds(claims.iat),
    requestId: claims.req,
    actor: claims.iss,
    subject: claims.sub,
    action: claims.act,
    tier: claims.tier,
    reasons: [],
    personal: {
      ...Object.fromEntries(approvers.map((id, index) => [`/data/approvers/${index}`, id])),
      ...(about.length > 0 && { '/data/mandate_digest': about, '/data/salt': about }),
    },
    data: {
      jti: claims.jti,
      exp: claims.exp,
      policy_revision: claims.pol,
      approvers,
      verdicts: counting.map(({ signed }) => signed.claims.jti),
      requirement: requirementRecord(requirement),
      limits: claims.con.limits,
      audience: claims.aud,
      confirmation: { ...claims.cnf },
      decided_at: context.now,
      ticket: context.ticketFact && ticketFactJson(context.ticketFact),
      attested_by_ticket: decision.attestedByTicket,
      mandate_digest: sha256Base64url(canonicalJson(claims)),
      ...(decision.reversal &&
        claims.rev && {
          reversal: { ...reversalTold(decision.reversal), jti: claims.rev.jti, exp: claims.rev.exp },
        }),
      ...(claims.salt !== undefined && { salt: claims.salt }),
    },
  };
}

/** Audit first: no record, no mandate. A repeat finds the first record and signs that, to the same bytes. */
async function recordedThenSigned(
  ports: ActivityPorts,
  { claims, about }: Pick<MandateEntry, 'claims' | 'about'>,
  event: AuditEvent,
  { proofs }: ProvenCaller,
  limits: readonly VelocityLimit[],
): Promise<IssuanceOutcome> {
  const entry = { requestId: claims.req, jti: claims.jti, claims, about, proofs };
  const recorded = await ports.ledger.recordMandate(entry, event, limits);
  if ('exceeded' in recorded) return await tooFast(ports, claims, recorded.exceeded);
  return await issued(ports, recorded.claims);
}

/** Above a velocity limit nothing is issued; a request that people approved stays as it is, to be collected later. */
async function tooFast(
  ports: ActivityPorts,
  claims: MandateClaims,
  exceeded: VelocityStanding,
): Promise<IssuanceOutcome> {
  const { rule, most, windowSeconds } = exceeded;
  const retryAt = epochSeconds(exceeded.resetsAt);
  await ports.ledger.append({
    id: `${claims.req}/poa_velocity_exceeded/${retryAt}`,
    type: 'poa_velocity_exceeded',
    time: fromEpochSeconds(claims.iat),
    requestId: claims.req,
    actor: claims.sub,
    subject: claims.sub,
    action: claims.act,
    tier: claims.tier,
    reasons: ['velocity_exceeded'],
    data: { rule, most, window_seconds: windowSeconds, retry_at: retryAt, policy_revision: claims.pol },
  });
  return { outcome: 'refused', code: 'velocity_exceeded', message: exceededInWords(exceeded), retryAt };
}

async function reissued(ports: ActivityPorts, claims: MandateClaims | null): Promise<IssuanceOutcome> {
  if (!claims) {
    return {
      outcome: 'refused',
      code: 'mandate_lapsed',
      message: 'somebody whom the one mandate of this request is about was erased',
    };
  }
  if (epochSeconds(ports.clock()) >= claims.exp) {
    return {
      outcome: 'refused',
      code: 'mandate_lapsed',
      message: 'the one mandate of this request has lapsed',
    };
  }
  return await issued(ports, claims);
}

/** The mandate goes out when its reversal is where the broker finds it: one is never without the other. */
async function issued(ports: ActivityPorts, claims: MandateClaims): Promise<IssuanceOutcome> {
  const reversal = reversalClaimsOf(claims);
  if (reversal) {
    const mandate = await ports.signer.signReversal(reversal);
    await ports.ledger.keepReversal({ claims: reversal, mandate });
  }
  return {
    outcome: 'issued',
    mandate: await ports.signer.sign(claims),
    jti: claims.jti,
    expiresAt: claims.exp,
    tier: claims.tier,
    policyRevision: claims.pol,
  };
}

/** Null where the evidence proves the requesting agent, valid now; else the refusal. */
export async function confirmCaller(
  ports: ActivityPorts,
  { agent, caller }: WithdrawalInput,
): Promise<{ code: Denial['code']; message: string } | null> {
  try {
    await identifyCollector(ports, caller, agent, null);
    return null;
  } catch (error) {
    if (!isAtbError(error)) throw error;
    return { code: error.code, message: error.message };
  }
}
