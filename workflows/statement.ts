import { ApplicationFailure } from '@temporalio/workflow';
import { isRefusedPayload } from '../domain/refused-payload';

// A certificate chain and a reason of 2,000 characters fit several times.
const LONGEST_STATEMENT = 49_152;

/** A person's signed word, as an update brings it: its form alone. Throws `payload_refused`, `verdict_malformed`. */
export function requireStatement(submission: unknown): void {
  if (isRefusedPayload(submission)) {
    throw ApplicationFailure.nonRetryable(submission.reason, 'payload_refused');
  }
  const { statement } = (submission ?? {}) as { statement?: unknown };
  if (typeof statement !== 'string' || statement.length > LONGEST_STATEMENT) {
    throw ApplicationFailure.nonRetryable('the word is not a compact JWS', 'verdict_malformed');
  }
}
