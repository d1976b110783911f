import { setCurrentDetails, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import type { SearchAttributePair } from '@temporalio/common';
import type { Pending, RecordedVerdict, RequestStatus } from '../domain/request-status';
import { ATB_POLICY_REVISION, ATB_STATE, ATB_TIER, ATB_WAITING_ON } from './contract';

/** Shows a request in the Temporal UI: search attributes where they changed, and what it waits for in words. */
export function present(status: RequestStatus): void {
  const changed = changedAttributes(status);
  if (changed.length > 0) upsertSearchAttributes(changed);
  setCurrentDetails(details(status));
}

function changedAttributes(status: RequestStatus): SearchAttributePair[] {
  const shown = workflowInfo().typedSearchAttributes;
  const tier = 'tier' in status ? status.tier : null;
  const revision = 'policyRevision' in status ? status.policyRevision : null;
  const waitingOn = 'waitingOn' in status ? [...status.waitingOn] : [];
  const changed: SearchAttributePair[] = [];
  if (shown.get(ATB_STATE) !== status.state) changed.push({ key: ATB_STATE, value: status.state });
  if (tier !== null && shown.get(ATB_TIER) !== tier) changed.push({ key: ATB_TIER, value: tier });
  if (revision !== null && shown.get(ATB_POLICY_REVISION) !== revision) {
    changed.push({ key: ATB_POLICY_REVISION, value: revision });
  }
  if ((shown.get(ATB_WAITING_ON) ?? []).join() !== waitingOn.join()) {
    changed.push({ key: ATB_WAITING_ON, value: waitingOn });
  }
  return changed;
}

/** Markdown for an operator: who is awaited, since when, what happens next and when. */
export function details(status: RequestStatus): string {
  return [`**${status.state}** · \`${status.act}\``, ...lines(status)].join('\n\n');
}

function lines(status: RequestStatus): readonly string[] {
  switch (status.state) {
    case 'pending':
      return status.assessed
        ? pendingLines(status)
        : ['Identity and policy are being looked at.', ...interrupted(status)];
    case 'approved':
      return [
        `Tier ${status.tier}, asked by \`${status.agent}\`.`,
        ...status.verdicts.map(verdictLine),
        `The agent may collect the mandate until ${utc(status.approvedUntil)}; then the request expires.`,
      ];
    case 'issued':
      return [
        `Tier ${status.tier}, asked by \`${status.agent}\`.`,
        ...status.verdicts.map(verdictLine),
        `Mandate \`${status.jti}\` was issued; it lapses at ${utc(status.expiresAt)}.`,
      ];
    case 'denied':
    case 'rejected':
    case 'withdrawn':
    case 'expired':
    case 'cancelled':
      return [`Ended without a mandate: ${status.reasons.map((reason) => `\`${reason}\``).join(', ')}.`];
  }
}

function pendingLines(status: Pending): readonly string[] {
  const { approvals, release, attest } = status.outstanding;
  const missing = [
    ...(approvals > 0 ? [`${approvals} approval${approvals === 1 ? '' : 's'}`] : []),
    ...(attest.length > 0 ? [`somebody who attests ${attest.map((fact) => `\`${fact}\``).join(', ')}`] : []),
    ...(release ? ['a manual release'] : []),
  ];
  return [
    `Tier ${status.tier}, asked by \`${status.agent}\`.`,
    `Waits for ${missing.join(', then ')} since ${utc(status.pendingSince)}: ${status.waitingOn.join(', ')}.`,
    ...status.verdicts.map(verdictLine),
    status.nextRung
      ? `Next: ${status.nextRung.roles.join(', ')} will be told at ${utc(status.nextRung.at)}.`
      : 'Next: nobody else will be told.',
    `Expires at ${utc(status.expiresAt)}.`,
    ...interrupted(status),
  ];
}

function verdictLine(verdict: RecordedVerdict): string {
  return `- ${verdict.verdict} by \`${verdict.by}\` (${verdict.role}), ${utc(verdict.receivedAt)}`;
}

function interrupted({ interruption }: Pick<Pending, 'interruption'>): readonly string[] {
  if (!interruption) return [];
  const { code, since, nextTryAt } = interruption;
  return [
    `**Interrupted** since ${utc(since)}: \`${code}\`. Tried again at ${utc(nextTryAt)}; nothing is lost.`,
  ];
}

function utc(epochSeconds: number): string {
  return `${new Date(epochSeconds * 1000).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}
