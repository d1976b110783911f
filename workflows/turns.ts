/**
 * One after the other: what changes a request waits for its turn, so that two approvals at the same instant cannot
 * both see "one of two" (attack 10). Promises only, so it replays.
 */
export class Turns {
  private last: Promise<unknown> = Promise.resolve();

  take<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.last.then(work);
    // The next turn starts whether this one succeeded or not; its error goes to its own caller.
    this.last = mine.catch(() => undefined);
    return mine;
  }
}
