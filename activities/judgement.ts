import { AtbError } from '../domain/error';
import { uncounted } from '../domain/uncounted-verdict';
import type { DenyingDecision } from '../domain/policy';
import { assessmentOf, codeOf, decide } from './assessment';
import type { IdentifiedRequest } from './assessment';
import { approves, factOf, requireApproves } from './evidence';
import type { VerifiedVerdict } from './evidence';
import type { ActivityPorts } from './ports';
import type { Assessment } from './types';

/** What policy makes of the new verdict beside those that count already. Throws where it does not count. */
export async function judged(
  ports: ActivityPorts,
  request: IdentifiedRequest,
  before: readonly VerifiedVerdict[],
  verified: VerifiedVerdict,
) {
  const current = await decide(ports, request, []);
  if (current.effect === 'deny') throw deniedNow(current);
  const content = assessmentOf(ports, request, current).toApprove;
  requireApproves(verified, content);

  const standing = before.filter(({ signed }) => approves(signed, content));
  const decision = await decide(ports, request, [...standing, verified].map(factOf));
  const judgement = decision.verdicts[verified.signed.claims.jti];
  if (!judgement?.counts) {
    const reasons = judgement?.reasons ?? [];
    const known = codeOf(reasons.slice(0, 1));
    throw new AtbError(
      known === 'policy_denied' ? 'verdict_not_counted' : known,
      uncounted('the verdict', reasons),
      {
        reasons,
      },
    );
  }
  if (decision.effect === 'deny' && !decision.rejected) throw deniedNow(decision);
  const assessment: Assessment | 'rejected' =
    decision.effect === 'deny' ? 'rejected' : assessmentOf(ports, request, decision);
  const counting = [...standing, verified].filter(
    ({ signed }) => decision.verdicts[signed.claims.jti]?.counts === true,
  );
  return { decision, assessment, content, counting, reversal: current.reversal };
}

function deniedNow({ reasons }: DenyingDecision): AtbError {
  return new AtbError(codeOf(reasons), 'policy denies the request now', { reasons });
}
