/** Does it, again after each of the waits (milliseconds) where it fails; throws what the last try did. */
export async function persistently<Result>(
  waits: readonly number[],
  act: () => Promise<Result>,
): Promise<Result> {
  for (const waitMs of waits) {
    try {
      return await act();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }
  return act();
}
