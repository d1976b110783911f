import type { AllowingDecision } from '../domain/policy';
import { epochSeconds } from './assessment';
import type { IdentifiedRequest } from './assessment';
import type { VerifiedVerdict } from './evidence';
import type { ActivityPorts } from './ports';

/**
 * A request that people of the break-glass role approved: recorded, which opens its review, and told to everyone
 * Accountable, before anything comes of it. A repeat changes nothing.
 */
export async function recordBrokenGlass(
  ports: ActivityPorts,
  request: IdentifiedRequest,
  { breakGlass, tier, policyRevision }: AllowingDecision,
  counting: readonly VerifiedVerdict[],
): Promise<void> {
  const { broken, role, accountable, reviewWithinSeconds } = breakGlass;
  if (!broken || role === null) return;
  const { requestId, agent, asked } = request;
  const words = counting.filter(
    ({ signed: { claims } }) => claims.verdict === 'approve' && claims.role === role,
  );
  const time = ports.clock();
  const id = `${requestId}/poa_break_glass`;
  await ports.ledger.append({
    id,
    type: 'poa_break_glass',
    time,
    requestId,
    actor: null,
    subject: agent,
    action: asked.act,
    tier,
    reasons: [],
    personal: Object.fromEntries(
      words.flatMap(({ by }, index) => [
        [`/data/people/${index}`, by],
        [`/data/stated_reasons/${index}`, by],
      ]),
    ),
    data: {
      people: words.map(({ by }) => by),
      stated_reasons: words.map(({ signed }) => signed.claims.reason),
      role,
      rungs: request.climbed.length,
      accountable,
      review_until: epochSeconds(time) + reviewWithinSeconds,
      policy_revision: policyRevision,
    },
  });
  await ports.notifier.notify({
    id,
    kind: 'break_glass',
    requestId,
    roles: accountable,
    facts: { action: asked.act, agent, tier, ticket: asked.ticket, justification: null },
    text: [
      `break-glass: ${words.length} people of the role ${role} approved ${tier} ${asked.act} for ${agent}`,
      'somebody Accountable who had no part in it must review it: atb reviews ls',
    ].join('\n'),
  });
}
