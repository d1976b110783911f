/** At most so many mandates in one window; policy says what is counted together under `key`. */
export interface VelocityLimit {
  /** The rule's name in policy data, to tell people. */
  readonly rule: string;
  readonly key: string;
  readonly most: number;
  readonly windowSeconds: number;
}

/** How a limit stands: `taken` mandates in the window that ends at `resetsAt`. */
export interface VelocityStanding extends VelocityLimit {
  readonly taken: number;
  readonly resetsAt: Date;
}

/** As it is told outside: no key, and epoch seconds. */
export interface VelocityRoom extends Omit<VelocityLimit, 'key'> {
  readonly taken: number;
  readonly resetsAt: number;
}

/**
 * The window that a moment falls into. Windows are fixed, aligned to the epoch: a minute, an hour, a day of UTC. So
 * one row counts a window for ever, and "try again at" is exact.
 */
export function windowOf(at: Date, windowSeconds: number): { readonly start: Date; readonly end: Date } {
  const length = windowSeconds * 1000;
  const start = Math.floor(at.getTime() / length) * length;
  return { start: new Date(start), end: new Date(start + length) };
}

/** What a refusal says of the limit that is reached. */
export function exceededInWords({ rule, most, windowSeconds, resetsAt }: VelocityStanding): string {
  return `"${rule}" allows ${most} mandates in ${windowSeconds} s; there is room again at ${resetsAt.toISOString()}`;
}
