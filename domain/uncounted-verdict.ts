import type { ErrorCode } from './error';

/** Why a signed word does not count, for whoever gave it. */
const WHY: Partial<Record<ErrorCode, string>> = {
  verdict_by_unknown_person: 'you are not in the directory',
  verdict_revoked: 'you or your certificate may not decide any more',
  verdict_suspended: 'your word does not count for now; ask Security',
  verdict_role_not_held: 'you do not hold the role that you named',
  verdict_role_not_eligible: 'your role has no word on this',
  verdict_not_independent: 'whoever asked for it, or owns or deployed its agent, has no word on it',
  verdict_not_nominated: 'it names those who are to approve it, and you are not among them',
  verdict_reason_missing: 'it needs your reason',
  verdict_stale: 'it was signed too long ago; sign again',
  verdict_from_future: 'it is signed for a later time; look at your clock',
  verdict_second_from_person: 'you gave your word already',
  release_not_due: 'the approvals before the release are not complete',
};

/** `what` does not count, and why, where the first reason is one that a person can do something about. */
export function uncounted(what: string, reasons: readonly string[]): string {
  const why = WHY[reasons[0] as ErrorCode];
  return why === undefined ? `${what} does not count` : `${what} does not count: ${why}`;
}
