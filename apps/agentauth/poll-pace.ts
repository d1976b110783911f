import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import { AtbError } from '../../domain/error';
import { POLL_INTERVAL_SECONDS } from './presentation';

// CIBA §11: after `slow_down` the interval is five seconds longer.
const LONGER_SECONDS = 5;

/**
 * How often an agent may ask after one of its requests. The advised way is one long poll after the other, or one call
 * each `poll_interval_seconds`; more is tolerated up to a budget, then `slow_down` says so (OpenID CIBA Core §11). By
 * the proven SPIFFE ID, so that nobody spends another's budget (attack 11).
 */
export class PollPace {
  private readonly limiter: RateLimiterMemory;

  constructor(private readonly pollsPerInterval: number) {
    this.limiter = new RateLimiterMemory({ points: pollsPerInterval, duration: POLL_INTERVAL_SECONDS });
  }

  /** Throws `slow_down`. */
  async require(spiffeId: string, requestId: string): Promise<void> {
    try {
      await this.limiter.consume(`${spiffeId} ${requestId}`);
    } catch (limited) {
      if (!(limited instanceof RateLimiterRes)) throw limited;
      throw new AtbError(
        'slow_down',
        `at most ${this.pollsPerInterval} times in ${POLL_INTERVAL_SECONDS} s; wait longer, or poll with ?wait=30`,
        { requestId, retryAfterSeconds: POLL_INTERVAL_SECONDS + LONGER_SECONDS },
      );
    }
  }
}
