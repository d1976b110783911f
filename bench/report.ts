/** The Temporal servers that a measure can run on. */
export const SERVERS = ['dev', 'postgres'] as const;
export type ServerName = (typeof SERVERS)[number];

export interface BenchOptions {
  readonly servers: readonly ServerName[];
  /** How long a measure that has one goes on at its end; 0 where nobody asked. */
  readonly seconds: number;
}

/** One line of the result. What a measure does not have, it leaves out. */
export interface Row {
  readonly name: string;
  readonly server?: ServerName;
  readonly clients?: number;
  readonly p50_ms?: number;
  readonly p95_ms?: number;
  readonly p99_ms?: number;
  readonly per_second?: number;
  /** The measure of the same run that the ratios are against. */
  readonly against: string;
  readonly ratio_p50?: number;
  readonly ratio_throughput?: number;
  /** This measure's p99 to the p50 of the one it is against. */
  readonly ratio_p99_to_p50?: number;
  readonly history_events?: number;
  /** What else is worth knowing, in a few words. */
  readonly note?: string;
}

export function round2(value: number): number {
  return Math.round(value * 100) / 100;
}

/** Progress, on the error stream. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
