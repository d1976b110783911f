import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import { AtbError } from '../../domain/error';
import type { Polling } from '../../domain/policy';

/**
 * How often an agent may ask after one of its requests. The advised way is one long poll after the other, or one call
 * each `poll_interval_seconds`, as policy says; more is tolerated up to a budget, then `slow_down` says so (OpenID CIBA
 * Core §11). By the proven SPIFFE ID, so that nobody spends another's budget (attack 11).
 */
export class PollPace {
  private readonly limiter: RateLimiterMemory;

  constructor(private readonly pollsPerInterval: number) {
    this.limiter = new RateLimiterMemory({ points: pollsPerInterval, duration: 1 });
  }

  /** Throws `slow_down`. */
  async require(
    spiffeId: string,
    requestId: string,
    { intervalSeconds, slowDownSeconds }: Polling,
  ): Promise<void> {
    try {
      await this.limiter.consume(`${spiffeId} ${requestId}`, 1, { customDuration: intervalSeconds });
    } catch (limited) {
      if (!(limited instanceof RateLimiterRes)) throw limited;
      throw new AtbError(
        'slow_down',
        `at most ${this.pollsPerInterval} times in ${intervalSeconds} s; wait longer, or poll with ?wait=30`,
        { requestId, retryAfterSeconds: intervalSeconds + slowDownSeconds },
      );
    }
  }
}
