import { ActivityFailure, ApplicationFailure, CancellationScope, sleep } from '@temporalio/workflow';
import { isErrorCode } from '../domain/error';
import type { ErrorCode } from '../domain/error';
import { isRefusedPayload } from '../domain/refused-payload';
import type { Interruption } from '../domain/request-status';

const FIRST_WAIT_SECONDS = 1;
// Long enough to spare a store that struggles, short enough that nobody waits long once it is back.
const LONGEST_WAIT_SECONDS = 15;

/**
 * Runs a step until the stores behind it answer, and says meanwhile what it waits for: nothing accepted is lost
 * (a cancellation waits too: it must be recorded). A failure that will not go away by itself is thrown.
 */
export async function persistently<T>(
  step: () => Promise<T>,
  report: (interruption: Interruption | null) => void,
): Promise<T> {
  return CancellationScope.nonCancellable(async () => {
    const since = epochSecondsNow();
    for (
      let waitSeconds = FIRST_WAIT_SECONDS;
      ;
      waitSeconds = Math.min(2 * waitSeconds, LONGEST_WAIT_SECONDS)
    ) {
      try {
        const result = await step();
        if (isRefusedPayload(result)) throw notOurs(result);
        report(null);
        return result;
      } catch (error) {
        const code = retryableCodeOf(error);
        if (code === undefined) throw error;
        report({ code, since, nextTryAt: epochSecondsNow() + waitSeconds });
        await sleep(`${waitSeconds} seconds`, { summary: `waits: ${code}` });
      }
    }
  });
}

/** The code of a failure that may go away by itself, or undefined. */
export function retryableCodeOf(error: unknown): ErrorCode | undefined {
  const cause = error instanceof ActivityFailure ? error.cause : error;
  if (cause instanceof ApplicationFailure) {
    if (cause.nonRetryable) return undefined;
    return cause.type != null && isErrorCode(cause.type) ? cause.type : 'internal';
  }
  // A time-out: a store, or a worker, that did not answer at all.
  return error instanceof ActivityFailure ? 'audit_unavailable' : undefined;
}

/** A result that no step of ours gives: somebody else took the task. It counts for nothing; the step is tried again. */
export function notOurs(result: unknown): ApplicationFailure {
  const message = isRefusedPayload(result) ? result.reason : 'not a result of ours';
  return ApplicationFailure.create({ type: 'payload_refused', message });
}

export function epochSecondsNow(): number {
  return Math.floor(Date.now() / 1000);
}
