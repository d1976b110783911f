import { Body, Controller, Headers, HttpCode, Post, Req, Res, UseGuards } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AtbError } from '../../domain/error';
import { ISSUE_PATH } from '../../domain/signed-request';
import { Caller } from './caller';
import type { CallerIdentity } from './caller-identity';
import { metrics } from './metrics';
import { PoaRequests } from './poa-requests';
import { mandateJson, planJson, pollingOf, retryAfter, statusJson } from './presentation';
import { RateLimitGuard } from './rate-limit.guard';
import { SignedRequests } from './signed-requests';
import { askedMandateOf } from './validation';

/** POST /issue and its dry run. */
@Controller()
@UseGuards(RateLimitGuard)
export class IssuanceController {
  constructor(
    private readonly requests: PoaRequests,
    private readonly signed: SignedRequests,
  ) {}

  /** 201 with the mandate when nothing is required, 202 when people are, 403 with reasons when policy refuses. */
  @Post('issue')
  async issue(
    @Caller() caller: CallerIdentity,
    @Body() body: unknown,
    @Headers('idempotency-key') idempotencyKey: string | undefined,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Record<string, unknown>> {
    const asking = this.signed.open(caller, body, ISSUE_PATH);
    const status = await this.requests.issue(asking.caller, askedMandateOf(asking.body), idempotencyKey);
    metrics.requests.inc({ state: status.state, tier: ('tier' in status && status.tier) || 'none' });
    void reply.header('location', `/requests/${status.requestId}`);
    switch (status.state) {
      case 'issued':
        // A repeat is answered with the same mandate for as long as it lives (the sooner it is used the better).
        if (Date.now() >= status.expiresAt * 1000) {
          throw new AtbError('mandate_lapsed', 'the mandate of this request has lapsed', {
            requestId: status.requestId,
          });
        }
        void reply.status(201);
        return mandateJson(status);
      case 'pending':
      case 'approved':
        void reply.status(202).header('retry-after', pollingOf(status).intervalSeconds);
        return statusJson(status);
      case 'denied':
        throw new AtbError(status.code, 'policy refuses this request', {
          reasons: status.reasons,
          errors: status.faults ?? [],
          requestId: status.requestId,
          ...retryAfter(status.retryAt),
        });
      case 'rejected':
      case 'withdrawn':
      case 'expired':
      case 'cancelled':
        throw new AtbError('request_finished', `the request is ${status.state}`, {
          reasons: status.reasons,
          requestId: status.requestId,
        });
    }
  }

  /** What would it take? 200 whatever the outcome; starts nothing and binds nobody. */
  @Post('plan')
  @HttpCode(200)
  async plan(@Caller() caller: CallerIdentity, @Body() body: unknown): Promise<Record<string, unknown>> {
    const decision = await this.requests.forecast(caller, askedMandateOf(body));
    const counted = decision.effect === 'deny' ? [] : decision.velocity;
    return planJson(decision, counted.length === 0 ? [] : await this.requests.room(counted));
  }
}
