import { DefaultFailureConverter } from '@temporalio/common';

/** Loaded by path, in the workflow sandbox too. Failures' messages and stack traces are sealed like every payload. */
export const failureConverter = new DefaultFailureConverter({ encodeCommonAttributes: true });
