import type { OpenedIncident } from '../activities/incident-types';
import type { IncidentStatus } from '../domain/incident';

/** What an incident takes along into its next run, when its history has become long. */
export interface CarriedIncident {
  readonly status: IncidentStatus;
  readonly opened: OpenedIncident;
  readonly remembered: readonly string[];
  readonly refused: number;
  readonly reminders: number;
  /** Absent of what was carried over before they were counted. */
  readonly rejectedSignals?: number;
}
