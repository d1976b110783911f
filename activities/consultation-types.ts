import type { ConsultedAnswer, ConsultedMatter } from '../domain/consultation';
import type { Refused } from './proposal-types';

/** Which consultation, and when it began (epoch seconds). */
export interface ConsultationRef extends ConsultedMatter {
  readonly id: string;
  readonly askedAt: number;
}

export interface BegunConsultation {
  readonly effect: 'begun';
  readonly responsible: readonly string[];
  readonly accountable: readonly string[];
  readonly consulted: readonly string[];
  /** Epoch seconds. */
  readonly answerUntil: number;
  readonly policyRevision: string;
}

export interface CountedAnswer {
  readonly effect: 'counts';
  readonly answer: ConsultedAnswer;
}

/** A signal that reached a consultation, as the so-manieth. */
export interface ConsultationSignal {
  readonly consultation: ConsultationRef;
  readonly position: number;
  readonly signal: string;
}

/** One side-effecting, idempotent step each. What cannot be reached is thrown as a retryable failure. */
export interface ConsultationActivities {
  /** Records whose work it is and who is asked until when, and tells them. */
  beginConsultation(input: ConsultationRef): Promise<BegunConsultation | Refused>;
  /** A signed answer, recorded where it counts; what does not count is recorded as refused. */
  answerConsultation(input: {
    readonly consultation: ConsultationRef;
    readonly statement: string;
  }): Promise<CountedAnswer | Refused>;
  /** Records that the time passed without these teams' answer. */
  endConsultation(input: {
    readonly consultation: ConsultationRef;
    readonly teams: readonly string[];
    readonly answerUntil: number;
  }): Promise<void>;
  /** Records a signal that counted for nothing. */
  recordConsultationSignal(input: ConsultationSignal): Promise<void>;
}
