// Enough to see what somebody tries.
const RECORDED_EACH = 20;

/** Sealed statements that were refused: after so many, signals are not looked at any more, as approvers have updates. */
export const MOST_REFUSED_VERDICTS = 200;

/** Whether the signal that was rejected as the so-manieth is recorded: the first ones, then at each doubling. */
export function isWorthRecording(position: number): boolean {
  return position <= RECORDED_EACH || Number.isInteger(Math.log2(position / RECORDED_EACH));
}
