// Enough to see what somebody tries.
const RECORDED_EACH = 20;

/** Sealed statements that were refused: after so many, signals are not looked at any more, as approvers have updates. */
export const MOST_REFUSED_VERDICTS = 200;

/**
 * After so many, signals of the kind are not even heard: each that has a handler costs a fraction of a millisecond, and
 * ten thousand of them at once more than a workflow task may take.
 */
export const MOST_HEARD = 1_000;

/** Whether the signal that was rejected as the so-manieth is recorded: the first ones, then at each doubling, and the last. */
export function isWorthRecording(position: number): boolean {
  return (
    position <= RECORDED_EACH ||
    position === MOST_HEARD ||
    (position < MOST_HEARD && Number.isInteger(Math.log2(position / RECORDED_EACH)))
  );
}
