import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';

// A slow machine gets its time, and a quick one loses none: what does not come about is a failure anyway.
const WITHIN_MS = 110_000;

/** Asks until the answer is good, and gives it; throws what it was at last where it never is. */
export async function eventually<T>(
  ask: () => T | Promise<T>,
  isGood: (answer: T) => boolean,
  everyMs = 100,
): Promise<T> {
  for (const end = Date.now() + WITHIN_MS; ;) {
    const answer = await ask();
    if (isGood(answer)) return answer;
    if (Date.now() > end) throw new Error(`it did not come about; at last: ${inspect(answer, { depth: 6 })}`);
    await sleep(everyMs);
  }
}

/** As `eventually`, of what is there or not. */
export async function found<T>(
  ask: () => T | undefined | Promise<T | undefined>,
  everyMs?: number,
): Promise<T> {
  return (await eventually(ask, (answer) => answer !== undefined, everyMs)) as T;
}
