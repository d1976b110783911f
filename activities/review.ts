import { canonicalJson } from '../domain/canonical-json';
import { openReviewOf, reviewPath, reviewWordOf } from '../domain/break-glass-review';
import type {
  OpenReview,
  ReviewClosed,
  ReviewClosing,
  ReviewForCaller,
  ReviewListing,
} from '../domain/break-glass-review';
import { sha256Base64url } from '../domain/digest';
import { AtbError } from '../domain/error';
import { epochSeconds } from './assessment';
import { identify, identifyStatement, requireFresh } from './identity';
import type { ActivityPorts } from './ports';
import { orRefusal } from './failure';

const MOST_LISTED = 200;

/** The reviews that the caller's team is Accountable for; nobody else learns that there are any. */
export async function openReviews(
  ports: ActivityPorts,
  { evidence }: ReviewListing,
): Promise<readonly ReviewForCaller[]> {
  const { spiffeId } = await identify(ports, evidence, null);
  const listed: ReviewForCaller[] = [];
  for (const event of await ports.ledger.openReviews(MOST_LISTED)) {
    const review = openReviewOf(event);
    if (!review) continue;
    const { visible, reasons } = await asked(ports, review, spiffeId);
    if (visible) listed.push({ ...review, digest: reviewDigest(review), hindrances: reasons });
  }
  return listed;
}

/** Closes a review by a statement that the closer signed over exactly what was shown. The first word stays. */
export async function closeReview(ports: ActivityPorts, input: ReviewClosing): Promise<ReviewClosed> {
  const outcome = await orRefusal(() => closed(ports, input));
  if (!(outcome instanceof AtbError)) return outcome;
  const { code, message, reasons } = outcome;
  return { done: false, code, message, reasons };
}

async function closed(ports: ActivityPorts, { requestId, evidence }: ReviewClosing): Promise<ReviewClosed> {
  const { caller, body } = identifyStatement(ports, evidence, reviewPath(requestId));
  requireFresh(caller, ports.clock());
  const by = caller.spiffeId;
  const word = reviewWordOf(body);
  const [event] = await ports.ledger.events({ requestId, type: 'poa_break_glass', limit: 1 });
  const review = event && openReviewOf(event);
  const decision = review && (await asked(ports, review, by));
  if (!review || decision?.visible !== true)
    throw new AtbError('review_unknown', 'there is no such review, or it is not yours to see');
  if (decision.effect === 'deny') {
    throw new AtbError('review_not_allowed', 'somebody Accountable who had no part in it has to close it', {
      reasons: decision.reasons,
    });
  }
  const digest = reviewDigest(review);
  if (word.digest !== digest) {
    throw new AtbError(
      'review_digest_mismatch',
      'this was signed over something else than what is to be reviewed',
    );
  }
  const statementDigest = sha256Base64url(evidence.statement);
  const id = `${requestId}/poa_break_glass_reviewed`;
  await ports.ledger.append({
    id,
    type: 'poa_break_glass_reviewed',
    time: ports.clock(),
    requestId,
    actor: by,
    subject: review.agent,
    action: review.act,
    tier: review.tier,
    reasons: [word.finding],
    personal: { '/actor': by, '/data/reason': by },
    data: {
      finding: word.finding,
      reason: word.reason,
      statement_digest: statementDigest,
      review_digest: digest,
      policy_revision: ports.policy.revision,
    },
  });
  const [recorded] = await ports.ledger.events({ requestId, type: 'poa_break_glass_reviewed', limit: 1 });
  if (recorded?.data.statement_digest !== statementDigest) {
    throw new AtbError('review_closed', 'somebody else closed this review before');
  }
  return { done: true, finding: word.finding, closedAt: epochSeconds(recorded.time) };
}

/** Base64url SHA-256 of the RFC 8785 form of what is reviewed: whoever closes it signs that they saw this. */
function reviewDigest(review: OpenReview): string {
  return sha256Base64url(canonicalJson(review));
}

function asked(ports: ActivityPorts, { agent, tier, people, role }: OpenReview, id: string) {
  return ports.policy.review({ id, agent, tier, people: people.map((person) => person.id), role });
}
