import { proxyLocalActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/types';
import type {
  ReviewClosed,
  ReviewClosing,
  ReviewForCaller,
  ReviewListing,
} from '../domain/break-glass-review';

const once = proxyLocalActivities<Activities>({
  startToCloseTimeout: '7 seconds',
  // Whoever asks is waiting: one try, and the caller hears of it. What is recorded is insert-once.
  retry: { maximumAttempts: 1 },
});

/** Lists the reviews of broken glasses that the caller may see. */
export function reviewListing(listing: ReviewListing): Promise<readonly ReviewForCaller[]> {
  return once.openReviews(listing);
}

/** Closes one by a signed word. */
export function reviewClosing(closing: ReviewClosing): Promise<ReviewClosed> {
  return once.closeReview(closing);
}
