import { visible } from '../../domain/foreign-text';
import { moment } from './moment';
import type { Standing } from './standing';
import { demanded, shortName, wordOf } from './words';

/** Where a request stands, for people. */
export function standingInWords(standing: Standing, now: Date): string {
  const { requestId, state, tier, action, agent, jti, mandate } = standing;
  const lines = [
    `${visible(state)}  ${visible(requestId)}`,
    ...(action === undefined ? [] : [row('action', visible(action))]),
    ...(agent === undefined ? [] : [row('agent', shortName(agent))]),
    ...(tier === undefined ? [] : [row('tier', visible(tier))]),
    ...waiting(standing, now),
    ...standing.verdicts.map((verdict) => row('verdict', wordOf(verdict))),
    ...(standing.reasons.length > 0 ? [row('reasons', standing.reasons.map(visible).join(', '))] : []),
    ...(jti === undefined ? [] : [row('jti', visible(jti))]),
    ...(mandate === undefined ? [] : [row('mandate', visible(mandate))]),
  ];
  return lines.join('\n');
}

function waiting(standing: Standing, now: Date): readonly string[] {
  const { state, expiresAt, approvedUntil, requirement } = standing;
  switch (state) {
    case 'pending':
      return [
        ...(requirement.approvals === undefined ? [] : [row('demanded', demanded(standing))]),
        row('waits for', awaited(standing)),
        ...(expiresAt === undefined ? [] : [row('expires', moment(expiresAt, now))]),
      ];
    case 'approved':
      return approvedUntil === undefined ? [] : [row('collect by', moment(approvedUntil, now))];
    case 'issued':
      return expiresAt === undefined ? [] : [row('lapses', moment(expiresAt, now))];
    default:
      return [];
  }
}

/** Who is awaited, and why it does not go on where something is out of reach. */
export function awaited({ waitingOn, eligibleApprovers, interruption }: Standing): string {
  if (interruption !== undefined)
    return `something out of reach (${visible(interruption)}); it goes on by itself`;
  const roles = waitingOn.map(visible).join(' or ');
  const people = eligibleApprovers.map(shortName).join(', ');
  if (roles === '') return people === '' ? 'a decision' : people;
  return people === '' ? roles : `${roles}: ${people}`;
}

export function row(name: string, value: string): string {
  return `  ${name.padEnd(11)}${value}`;
}
