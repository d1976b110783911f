import { openReviewOf } from '../domain/break-glass-review';
import type { OpenReview } from '../domain/break-glass-review';
import type { DigestPeriod, DigestPlan, IssuedCount, WorkCount } from '../domain/digest-plan';
import { epochSeconds, fromEpochSeconds } from './assessment';
import type { ActivityPorts } from './ports';

const MOST_REVIEWS = 200;
const MOST_WORK = 1_000;

/** How long a period is; null where nobody wants a digest. */
export async function digestPeriodSeconds({ policy }: ActivityPorts): Promise<number | null> {
  return (await policy.digest()).periodSeconds;
}

/**
 * Tells each team that is Informed what was issued in a period, what became of incidents, proposals and changes, and each that is Accountable which reviews are open: one
 * message a team and period, however often this is repeated; none where there is nothing to tell.
 */
export async function tellInformed(ports: ActivityPorts, { from, until }: DigestPeriod): Promise<'told'> {
  const plan = await ports.policy.digest();
  const issued = await ports.ledger.issuedBetween(fromEpochSeconds(from), fromEpochSeconds(until));
  const reviews = (await ports.ledger.openReviews(MOST_REVIEWS)).flatMap(
    (event) => openReviewOf(event) ?? [],
  );
  const work = await ports.ledger.workBetween(fromEpochSeconds(from), fromEpochSeconds(until), MOST_WORK);
  const now = epochSeconds(ports.clock());
  for (const team of teamsOf(plan)) {
    const mine = issued.filter(({ tier }) => plan.tiers[tier]?.informed.includes(team));
    const open = reviews.filter(({ tier }) => plan.tiers[tier]?.accountable.includes(team));
    const told = work.filter((one) => informedOf(plan, one).includes(team));
    if (mine.length + open.length + told.length === 0) continue;
    await ports.notifier.notify({
      id: `digest/${team}/${until}`,
      kind: 'digest',
      requestId: '',
      roles: [team],
      facts: { from: rfc3339(from), until: rfc3339(until) },
      text: [
        ...(mine.length === 0 ? [] : [`mandates from ${rfc3339(from)} until ${rfc3339(until)}:`]),
        ...shortened(mine.map(issuedLine), plan.mostListed),
        ...(told.length === 0 ? [] : [`people worked on, from ${rfc3339(from)} until ${rfc3339(until)}:`]),
        ...shortened(told.map(workLine), plan.mostListed),
        ...(open.length === 0 ? [] : ['broken glasses that wait for a review (atb reviews ls):']),
        ...shortened(
          open.map((review) => reviewLine(review, now)),
          plan.mostListed,
        ),
      ].join('\n'),
    });
  }
  return 'told';
}

function informedOf({ proposals, incidents }: DigestPlan, { type, kind }: WorkCount): readonly string[] {
  return type.startsWith('incident_') ? incidents : (proposals[kind] ?? []);
}

function workLine({ type, kind, name, state, count }: WorkCount): string {
  const what = [kind, ...(name === null ? [] : [name])].join(' ');
  return `- ${type.replaceAll('_', ' ')}: ${what}${state === null ? '' : ` (${state})`}: ${count}`;
}

function teamsOf({ tiers, proposals, incidents }: DigestPlan): readonly string[] {
  const all = Object.values(tiers).flatMap(({ informed, accountable }) => [...informed, ...accountable]);
  return [...new Set([...all, ...Object.values(proposals).flat(), ...incidents])].sort();
}

function issuedLine({ tier, action, agent, count }: IssuedCount): string {
  return `- ${tier} ${action} for ${agent}: ${count}`;
}

function reviewLine({ requestId, tier, act, reviewUntil }: OpenReview, now: number): string {
  const overdue = reviewUntil < now ? ', overdue' : '';
  return `- ${requestId}: ${tier} ${act ?? ''}, due ${rfc3339(reviewUntil)}${overdue}`;
}

function shortened(lines: readonly string[], most: number): readonly string[] {
  return lines.length <= most ? lines : [...lines.slice(0, most), `- and ${lines.length - most} more kinds`];
}

function rfc3339(seconds: number): string {
  return fromEpochSeconds(seconds).toISOString().replace('.000Z', 'Z');
}
