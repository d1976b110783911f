import { Inject, Injectable } from '@nestjs/common';
import type { CanActivate, ExecutionContext } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import { AtbError } from '../../domain/error';
import { callerOf } from './caller';

const WINDOW_SECONDS = 60;
const POLICY = 'requests';

/** The injection token of the budget. */
export const REQUESTS_PER_MINUTE = Symbol('requests per minute');

/** A budget of requests a minute, by the SPIFFE ID that was proven and by nothing a header says (attack 11). */
@Injectable()
export class RateLimitGuard implements CanActivate {
  private readonly limiter: RateLimiterMemory;

  constructor(@Inject(REQUESTS_PER_MINUTE) private readonly requestsPerMinute: number) {
    this.limiter = new RateLimiterMemory({ points: requestsPerMinute, duration: WINDOW_SECONDS });
  }

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const http = context.switchToHttp();
    const { spiffeId } = callerOf(http.getRequest<FastifyRequest>());
    const reply = http.getResponse<FastifyReply>();
    // draft-ietf-httpapi-ratelimit-headers: the quota and its window, then what is left and until when.
    void reply.header('ratelimit-policy', `"${POLICY}";q=${this.requestsPerMinute};w=${WINDOW_SECONDS}`);
    try {
      const { remainingPoints, msBeforeNext } = await this.limiter.consume(spiffeId);
      void reply.header('ratelimit', `"${POLICY}";r=${remainingPoints};t=${seconds(msBeforeNext)}`);
      return true;
    } catch (limited) {
      if (!(limited instanceof RateLimiterRes)) throw limited;
      const retryAfterSeconds = seconds(limited.msBeforeNext);
      void reply.header('ratelimit', `"${POLICY}";r=0;t=${retryAfterSeconds}`);
      throw new AtbError('too_many_requests', `the budget is ${this.requestsPerMinute} requests a minute`, {
        retryAfterSeconds,
      });
    }
  }
}

function seconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000));
}
