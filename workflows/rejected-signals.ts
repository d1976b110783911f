import { inWorkflowContext, setDefaultSignalHandler } from '@temporalio/workflow';
import type { Turns } from './turns';

// Enough to see what somebody tries.
const RECORDED_EACH = 20;

/** Sealed statements that were refused: after so many, signals are not looked at any more, as approvers have updates. */
export const MOST_REFUSED_VERDICTS = 200;

/**
 * After so many, signals of the kind are not even heard: each that has a handler costs a fraction of a millisecond, and
 * ten thousand of them at once more than a workflow task may take.
 */
const MOST_HEARD = 1_000;

/** A signal that was rejected, as the so-manieth. */
export interface RejectedSignal<Fault> {
  readonly signal: string;
  readonly position: number;
  readonly fault: Fault;
}

/**
 * Signals that counted for nothing. A signal has no answer: what is wrong with it is recorded, and nothing else happens.
 * The first ones each, and then at each doubling: noise can fill neither the history nor the audit log.
 */
export class RejectedSignals<Fault = null> {
  /** How many there were, with those of the runs before. */
  count = 0;

  constructor(
    private readonly turns: Turns,
    private readonly record: (rejected: RejectedSignal<Fault>) => Promise<void>,
    /** Takes the handler of this signal away: what comes then waits for one, at no cost, and goes with the run. */
    private readonly stopHearing: (signal: string) => void = () => {
      setDefaultSignalHandler(undefined);
    },
  ) {}

  get isHearing(): boolean {
    return this.count < MOST_HEARD;
  }

  /** At once, and without a turn: noise in its thousands must not queue up behind itself. */
  async reject(signal: string, fault: Fault): Promise<void> {
    const position = ++this.count;
    if (!this.isHearing) this.stopHearing(signal);
    if (isWorthRecording(position)) {
      await this.turns.take(() => this.recorded({ signal, position, fault }));
    }
  }

  /** The same, by whoever has the turn already. */
  rejectInTurn(signal: string, fault: Fault): Promise<void> {
    return this.recorded({ signal, position: ++this.count, fault });
  }

  private async recorded(rejected: RejectedSignal<Fault>): Promise<void> {
    // A workflow that is evicted meanwhile runs this outside of itself: it comes again in the replay.
    if (!isWorthRecording(rejected.position) || !inWorkflowContext()) return;
    await this.record(rejected);
  }
}

/** Whether the signal that was rejected as the so-manieth is recorded: the first ones, then at each doubling, and the last. */
function isWorthRecording(position: number): boolean {
  return (
    position <= RECORDED_EACH ||
    position === MOST_HEARD ||
    (position < MOST_HEARD && Number.isInteger(Math.log2(position / RECORDED_EACH)))
  );
}
