import { ActivityFailure, ApplicationFailure, CancellationScope, sleep } from '@temporalio/workflow';
import { isErrorCode } from '../domain/error';
import type { ErrorCode } from '../domain/error';
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
  if (!(error instanceof ActivityFailure)) return undefined;
  const { cause } = error;
  if (cause instanceof ApplicationFailure) {
    if (cause.nonRetryable) return undefined;
    return cause.type != null && isErrorCode(cause.type) ? cause.type : 'internal';
  }
  // A time-out: a store that did not answer at all.
  return 'audit_unavailable';
}

export function epochSecondsNow(): number {
  return Math.floor(Date.now() / 1000);
}
