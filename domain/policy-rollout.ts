import { AtbError } from './error';
import type { Proposed } from './proposal';

/**
 * The share of requests, in percent, that a candidate policy decides (operating model §2.3): the content of a proposal of
 * the kind `policy_rollout`, whose name is its revision. 0: it decides none, and is only asked beside the other. Throws
 * `proposal_malformed`.
 */
export function parsePolicyRollout({ content }: Pick<Proposed, 'content'>): number {
  const { percent, ...unknown } = content;
  const isShare = Number.isSafeInteger(percent) && (percent as number) >= 0 && (percent as number) <= 100;
  if (!isShare || Object.keys(unknown).length > 0) {
    throw new AtbError('proposal_malformed', 'a rollout is a percent from 0 to 100, and nothing else');
  }
  return percent as number;
}
