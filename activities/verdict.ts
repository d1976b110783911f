import { sha256Base64url } from '../domain/digest';
import { AtbError } from '../domain/error';
import { reversalTold } from '../domain/reversal';
import { climbedBy } from './assessment';
import { probeEvidenceOf } from '../domain/probe';
import type { IdentifiedRequest } from './assessment';
import { recordBrokenGlass } from './break-glass';
import { askedDigest } from './asked';
import { tellAgent } from './agent-callback';
import { closeRequest, closedByNo, noOnRecord } from './closing';
import { recordedVerdicts, recordOf, verifyVerdict } from './evidence';
import { tellReleasers } from './escalation';
import { orRefusal } from './failure';
import type { ActivityPorts } from './ports';
import { judged } from './judgement';
import { answerProbe } from './probe';
import type { VerdictInput, VerdictOutcome } from './types';

/** A verdict is recorded only when it counts; one that does not is refused with the reason, and changes nothing. */
export async function recordVerdict(ports: ActivityPorts, input: VerdictInput): Promise<VerdictOutcome> {
  const answer = probeEvidenceOf(input.request) === undefined ? counted : answerProbe;
  const outcome = await orRefusal(() => answer(ports, input));
  if (!(outcome instanceof AtbError)) return outcome;
  await recordRefusal(ports, input, outcome);
  const { code, message, reasons } = outcome;
  return { outcome: 'refused', code, message, reasons };
}

const APPROVED_ALREADY: VerdictOutcome = {
  ...{ outcome: 'refused', code: 'request_finished', message: 'the request is approved', reasons: [] },
};

async function counted(ports: ActivityPorts, { request, ...input }: VerdictInput): Promise<VerdictOutcome> {
  const now = ports.clock();
  const record = await ports.ledger.recordOf(request.requestId);
  if (!record.request || record.request.askedDigest !== askedDigest(request) || !record.requestedAt) {
    throw new AtbError('request_unknown', 'no such request was recorded');
  }
  const digest = sha256Base64url(input.statement);
  const earlier = record.verdicts.find(({ statementDigest }) => statementDigest === digest);
  const { verdict: word } = (await ports.verdicts.open(input.statement)).claims;
  // A no that ended the request, and whose answer was lost, is answered again.
  const isRepeated = earlier !== undefined && word === 'reject';
  if (record.mandate || (record.closed && !isRepeated)) {
    throw new AtbError('request_finished', 'the request is finished');
  }
  const no = noOnRecord(record);
  if (no && no.statementDigest !== digest) {
    const { subject: agent } = record.request;
    await closedByNo(ports, request, no, { agent, tier: null });
    return { outcome: 'rejected', verdict: recordOf(await verifyVerdict(ports, no.no, no.receivedAt)) };
  }
  if (input.onlyReject === true && word !== 'reject') return APPROVED_ALREADY;
  const verified = await verifyVerdict(ports, input.statement, earlier?.receivedAt ?? now);
  const identified: IdentifiedRequest = {
    requestId: request.requestId,
    asked: request.asked,
    agent: record.request.subject,
    climbed: climbedBy(record),
  };
  const before = await recordedVerdicts(ports, request.requestId, input.counted, record.verdicts);
  const { decision, assessment, content, counting, reversal } = await judged(
    ports,
    identified,
    before,
    verified,
  );

  const entry = await ports.ledger.recordVerdict(
    {
      jti: verified.signed.claims.jti,
      requestId: request.requestId,
      statementDigest: digest,
      by: verified.by,
      receivedAt: verified.receivedAt,
    },
    {
      id: `${request.requestId}/poa_verdict_recorded/${verified.signed.claims.jti}`,
      type: 'poa_verdict_recorded',
      // The moment of receipt: as of it the certificate is judged, now and in the signing step.
      time: verified.receivedAt,
      requestId: request.requestId,
      actor: verified.by,
      subject: identified.agent,
      action: request.asked.act,
      tier: decision.tier,
      reasons: [],
      personal: { '/actor': verified.by, '/data/statement': verified.by },
      data: {
        verdict: verified.signed.claims.verdict,
        role: verified.signed.claims.role,
        jti: verified.signed.claims.jti,
        attests: verified.signed.claims.attests,
        statement: input.statement,
        statement_digest: digest,
        limits: content.con.limits,
        audience: content.aud,
        policy_revision: decision.policyRevision,
        ...(reversal && { reversal: reversalTold(reversal) }),
      },
    },
  );
  if (entry.requestId !== request.requestId || entry.statementDigest !== digest) {
    throw new AtbError('verdict_already_used', 'a verdict with this jti was recorded before');
  }
  const verdict = recordOf({ ...verified, receivedAt: entry.receivedAt });
  if (decision.effect !== 'deny') await recordBrokenGlass(ports, identified, decision, counting);
  if (assessment === 'rejected') {
    // At once: from here on no history, whatever it leaves out, gets a mandate for it.
    await closeRequest(ports, {
      ...{ request, agent: identified.agent, tier: decision.tier, state: 'rejected', actor: verdict.by },
      ...{ code: 'rejected', reasons: ['rejected'] },
    });
    return { outcome: 'rejected', verdict };
  }
  if (decision.effect === 'require') {
    await tellReleasers(ports, request, identified.agent, decision, verdict.jti);
  }
  if (decision.effect === 'issue') {
    await tellAgent(ports, request, {
      agent: identified.agent,
      state: 'approved',
      id: `approved/${verdict.jti}`,
    });
  }
  return {
    outcome: 'counted',
    verdict,
    effect: decision.effect === 'issue' ? 'issue' : 'require',
    assessment,
  };
}

async function recordRefusal(ports: ActivityPorts, input: VerdictInput, error: AtbError): Promise<void> {
  const { request, statement } = input;
  const by = await signerOf(ports, statement);
  await ports.ledger.append({
    id: `${request.requestId}/poa_verdict_refused/${sha256Base64url(statement).slice(0, 22)}/${error.code}`,
    type: 'poa_verdict_refused',
    time: ports.clock(),
    requestId: request.requestId,
    actor: by,
    ...(by !== null && { personal: { '/actor': by } }),
    subject: null,
    action: request.asked.act,
    tier: null,
    reasons: error.reasons.length > 0 ? error.reasons : [error.code],
    data: {
      code: error.code,
      statement_digest: sha256Base64url(statement),
      policy_revision: ports.policy.revision,
    },
  });
}

/** Whose key signed it; null where that is not proved. */
async function signerOf(ports: ActivityPorts, statement: string): Promise<string | null> {
  const verified = await orRefusal(() => verifyVerdict(ports, statement, ports.clock()));
  return verified instanceof AtbError ? null : verified.by;
}
