/** One step of the database's schema, applied once, in order of its version. A released one is never edited. */
export interface Migration {
  /** The number that its file begins with. */
  readonly version: number;
  readonly sql: string;
}
