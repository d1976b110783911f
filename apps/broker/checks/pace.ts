import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import type { Connector } from '../../../domain/connector';
import { AtbError } from '../../../domain/error';

const WINDOW_SECONDS = 60;

/** How many calls an agent may make to a connector in a minute through this broker. */
export class CallPace {
  private readonly limiters = new Map<number, RateLimiterMemory>();

  constructor(private readonly callsPerMinute: number) {}

  /** The agent is the one who was proven, never what a header says (attack 11). Throws `too_many_requests`. */
  async check(agent: string, { id, limits }: Pick<Connector, 'id' | 'limits'>): Promise<void> {
    const points = limits.callsPerMinute ?? this.callsPerMinute;
    const limiter = this.limiters.get(points) ?? new RateLimiterMemory({ points, duration: WINDOW_SECONDS });
    this.limiters.set(points, limiter);
    try {
      await limiter.consume(`${id} ${agent}`);
    } catch (limited) {
      if (!(limited instanceof RateLimiterRes)) throw limited;
      throw new AtbError('too_many_requests', `the connector takes ${points} calls a minute of one agent`, {
        retryAfterSeconds: Math.max(1, Math.ceil(limited.msBeforeNext / 1000)),
      });
    }
  }
}
