export interface BackoffOptions {
  /** The first wait; 100 unless told. */
  readonly firstMs?: number;
  /** The longest wait; 30 seconds unless told. */
  readonly mostMs?: number;
  /** From 0 to below 1: the jitter. */
  readonly random?: () => number;
}

/**
 * Waits that double, each between half of itself and the whole, so that all the workloads of a host do not come back
 * at the same moment (SPIFFE Workload Endpoint §6: retry with a backoff).
 */
export class Backoff {
  private attempts = 0;
  private readonly firstMs: number;
  private readonly mostMs: number;
  private readonly random: () => number;

  constructor({ firstMs = 100, mostMs = 30_000, random = Math.random }: BackoffOptions = {}) {
    this.firstMs = firstMs;
    this.mostMs = mostMs;
    this.random = random;
  }

  nextMs(): number {
    const whole = Math.min(this.firstMs * 2 ** this.attempts++, this.mostMs);
    return whole / 2 + (whole / 2) * this.random();
  }

  reset(): void {
    this.attempts = 0;
  }
}
