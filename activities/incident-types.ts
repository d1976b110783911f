import type {
  IncidentDecision,
  IncidentRef,
  IncidentReport,
  IncidentStep,
  IncidentWord,
} from '../domain/incident';
import type { StopTarget } from '../domain/stop';
import type { Refused } from './proposal-types';

export interface IncidentOpening {
  readonly incident: IncidentRef;
  readonly report: IncidentReport;
}

export interface OpenedIncident extends Omit<IncidentDecision, 'effect' | 'reasons'> {
  readonly effect: 'opened';
  readonly by: string;
  /** What was stopped at once, by policy. */
  readonly contained: readonly StopTarget[];
}

export interface IncidentStatement {
  readonly incident: IncidentRef;
  readonly statement: string;
  /** The follow-up that it closes, or what it stops or lifts; null of every other step. */
  readonly about: string | null;
  /** The steps that are due as the incident stands. */
  readonly due: readonly IncidentStep[];
}

export interface CountedWord {
  readonly effect: 'counts';
  readonly word: IncidentWord;
  /** What it stopped or lifted; null where it does neither, or another person has to say the same. */
  readonly contained: StopTarget | null;
  /** Other incidents by which it was stopped, where it lifted that. */
  readonly others?: readonly string[];
}

export interface IncidentRung {
  readonly incident: IncidentRef;
  readonly title: string;
  readonly severity: string;
  readonly rung: number;
  readonly roles: readonly string[];
  /** How often it was reopened before; absent of one that never was. */
  readonly reopening?: number;
}

/** What an incident is about was seen again, after it was resolved. */
export interface IncidentReopening {
  readonly incident: IncidentRef;
  /** Which time: 1 is the first. */
  readonly reopening: number;
  readonly count: number;
}

export interface IncidentReminder extends Omit<IncidentRung, 'severity'> {
  readonly openFollowUps: number;
}

/** A stop that an incident made, and that was lifted by somebody's word that was none on it. */
export interface LiftedElsewhere extends StopTarget {
  /** Null where somebody was erased. */
  readonly by: string | null;
  /** Epoch seconds. */
  readonly at: number;
}

/** A signal to an incident that is no report of ours: nothing is said by one. */
export interface IncidentSignal {
  readonly incident: IncidentRef;
  readonly position: number;
  /** The signal's name: whatever its sender made of it. */
  readonly signal: string;
}

export interface IncidentClosing {
  readonly incident: IncidentRef;
  readonly count: number;
  readonly acknowledgedAt: number | null;
  readonly resolvedAt: number;
  readonly followUps: number;
}

export interface IncidentActivities {
  /** Who reports it may, and policy knows its kind; recorded. */
  openIncident(input: IncidentOpening): Promise<OpenedIncident | Refused>;
  /** A signed word, recorded where it counts. */
  incidentWord(input: IncidentStatement): Promise<CountedWord | Refused>;
  escalateIncident(input: IncidentRung): Promise<void>;
  reopenIncident(input: IncidentReopening): Promise<void>;
  /** Which of these stops the log says were lifted. */
  liftedOf(input: {
    readonly containments: readonly (StopTarget & { readonly since: number })[];
  }): Promise<readonly LiftedElsewhere[]>;
  recordIncidentSignal(input: IncidentSignal): Promise<void>;
  remindOfReview(input: IncidentReminder): Promise<void>;
  closeIncident(input: IncidentClosing): Promise<void>;
}
