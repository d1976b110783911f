import type { CanaryStep, ChangeEnd, RollbackReason } from '../domain/change';
import type { ChangeKind } from '../domain/proposal';
import type { Refused } from './proposal-types';

/** A signed word on a change: the statement, a compact JWS. */
export interface ChangeWordInput {
  readonly id: string;
  readonly statement: string;
}

/** A change that may be carried out now. */
export interface BegunChange {
  readonly effect: 'begun';
  readonly kind: ChangeKind;
  readonly name: string;
  readonly by: string;
  readonly canary: readonly CanaryStep[];
  /** Why it only goes back from here on, where it is gone on with; null where it climbs. */
  readonly back: RollbackReason | null;
}

export interface CountedChangeWord {
  readonly effect: 'counted';
  readonly by: string;
}

export interface ChangeStepInput {
  readonly id: string;
  /** From 0 on. */
  readonly step: number;
}

export interface StepOutcome {
  readonly good: boolean;
  readonly detail: string;
  /** Why not; null where it went well. */
  readonly reason: RollbackReason | null;
}

/** Nothing was done: another change changes the same, and is ahead. */
export interface BehindAnother {
  readonly behind: string;
}

/** How a change ended, and until when it has to be reviewed; null where nobody has to. Epoch seconds. */
export interface ChangeConclusion {
  readonly state: ChangeEnd;
  /** Those who review it, or whose hands it needs where its rollback failed. */
  readonly waitingOn?: readonly string[];
  readonly reviewUntil: number | null;
}

/** A signal to a change: nothing is said by one. */
export interface ChangeSignal {
  readonly id: string;
  /** Which run of the change: each counts its own. */
  readonly run: string;
  readonly position: number;
  /** The signal's name: whatever its sender made of it. */
  readonly signal: string;
}

/** The worker's steps of a change: they decide, record and tell; none of them carries anything out. */
export interface ChangeActivities {
  /** Verifies sign-offs, window, agenda and the word by which it runs; records that it begins. */
  beginChange(input: ChangeWordInput): Promise<BegunChange | Refused>;
  /** Verifies and records a word that aborts or reviews. */
  changeWord(
    input: ChangeWordInput & { readonly step: 'abort' | 'review' },
  ): Promise<CountedChangeWord | Refused>;
  /** Records an end that the log bears out, tells people of it, and pages them where a rollback failed. */
  endChange(input: { readonly id: string; readonly state: ChangeEnd }): Promise<ChangeConclusion>;
  /** Records a signal; nothing where there is no such change. */
  recordChangeSignal(input: ChangeSignal): Promise<void>;
  /** Tells those who review emergencies that one waits for them; answers until when it may wait now. */
  remindOfChangeReview(input: { readonly id: string; readonly count: number }): Promise<number>;
  /** Tells the agenda of a CAB; `cab` is its moment, RFC 3339. */
  holdCab(input: { readonly cab: string }): Promise<'held'>;
}

/** The steps that carry a change out. Each verifies for itself what it is about to do, and believes no history. */
export interface ChangeExecution {
  /** Whether everything that the change names is allowed here. */
  prepareChange(input: { readonly id: string }): Promise<{ readonly effect: 'prepared' } | Refused>;
  applyChangeStep(input: ChangeStepInput): Promise<StepOutcome | BehindAnother>;
  checkChangeStep(input: ChangeStepInput): Promise<StepOutcome>;
  rollBackChange(input: { readonly id: string; readonly reason: RollbackReason }): Promise<StepOutcome>;
}
