/**
 * A store of what is kept for so many days and no longer: access logs (operating model §6). The audit log is none, and
 * nothing here could be made to reach it.
 */
export interface AgingStore {
  /** What it holds. */
  readonly kind: 'access_log';
  /** Where it is, in the words of the configuration. */
  readonly place: string;
  readonly days: number;
  /** What has nothing in it that is younger, oldest first; at most so many. */
  agedBefore(before: Date, most: number): Promise<readonly Aged[]>;
  /** Removes them; one that is gone already is no fault. */
  remove(names: readonly string[]): Promise<void>;
}

export interface Aged {
  readonly name: string;
  readonly bytes: number;
}

/** What is to be removed of one store. */
export interface Removal {
  readonly kind: AgingStore['kind'];
  readonly place: string;
  readonly days: number;
  /** NumericDate: what is older is removed. */
  readonly before: number;
  readonly aged: readonly Aged[];
}

/** What one run of the retention removed. */
export interface RetentionReport {
  readonly removals: readonly Removal[];
}
