import { condition, defineSignal, setHandler } from '@temporalio/workflow';

/** The bare server's measure: a workflow that does nothing. */
export function noop(): Promise<void> {
  return Promise.resolve();
}

/** Does nothing but wait for a signal. */
export async function signalled(): Promise<void> {
  let gone = false;
  setHandler(defineSignal('go'), () => {
    gone = true;
  });
  await condition(() => gone);
}
