import { ApplicationFailure } from '@temporalio/common';
import { isAtbError, isRetryable } from '../domain/error';

/** An AtbError becomes a failure whose `type` is its code; anything else is a defect, and worth another try. */
export async function byCode<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isAtbError(error)) throw error;
    throw ApplicationFailure.create({
      type: error.code,
      message: error.message,
      nonRetryable: !isRetryable(error.code),
      ...(error.cause instanceof Error && { cause: error.cause }),
    });
  }
}
