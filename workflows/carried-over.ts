import type { Assessment } from '../activities/types';
import type { RequestStatus } from '../domain/request-status';

/** What a request takes along into its next run, when its history has become long. */
export interface CarriedOver {
  readonly status: RequestStatus;
  readonly statements: readonly string[];
  readonly assessment: Assessment;
  readonly rung: number;
  readonly remindersSent: number;
  readonly rejectedSignals: number;
  readonly refusedVerdicts: number;
}
