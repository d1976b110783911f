import { ApplicationFailure } from '@temporalio/common';
import { isAtbError, isRetryable } from '../domain/error';
import type { AtbError } from '../domain/error';

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

/** What was refused is an answer. Throws what may be over the next time, and defects. */
export async function orRefusal<T>(work: () => T | Promise<T>): Promise<T | AtbError> {
  try {
    return await work();
  } catch (error) {
    if (!isAtbError(error) || isRetryable(error.code)) throw error;
    return error;
  }
}
