import { Body, Controller, Get, HttpCode, Param, Post } from '@nestjs/common';
import { reviewPath, reviewWordOf } from '../../domain/break-glass-review';
import type { ReviewForCaller } from '../../domain/break-glass-review';
import { AtbError } from '../../domain/error';
import type { JsonObject } from '../../domain/json';
import { Caller } from './caller';
import type { CallerIdentity } from './caller-identity';
import { jsonOf } from './body';
import { PoaRequests } from './poa-requests';
import { rfc3339 } from './presentation';
import { SignedRequests } from './signed-requests';

/** Broken glasses that somebody Accountable has to look at. */
@Controller('reviews')
export class ReviewsController {
  constructor(
    private readonly requests: PoaRequests,
    private readonly signed: SignedRequests,
  ) {}

  @Get()
  async list(@Caller() caller: CallerIdentity): Promise<Record<string, unknown>> {
    return { reviews: (await this.requests.reviews(caller)).map(reviewJson) };
  }

  /** Only a signed word closes one: a call that merely came over the right connection is not enough. */
  @Post(':id')
  @HttpCode(200)
  async close(
    @Caller() caller: CallerIdentity,
    @Param('id') id: string,
    @Body() body: unknown,
  ): Promise<Record<string, unknown>> {
    const { caller: closer, body: word } = this.signed.open(caller, body, reviewPath(id));
    const { evidence } = closer;
    if (evidence.kind !== 'signed_request') {
      throw new AtbError('signed_request_required', 'whoever closes a review signs that');
    }
    reviewWordOf(jsonOf(word) as JsonObject);
    const closed = await this.requests.closeReview({ requestId: id, evidence });
    if (!closed.done) throw new AtbError(closed.code, closed.message, { reasons: closed.reasons });
    return { request_id: id, finding: closed.finding, closed_at: rfc3339(closed.closedAt) };
  }
}

function reviewJson(review: ReviewForCaller): Record<string, unknown> {
  const { requestId, act, agent, tier, people, role, brokenAt, reviewUntil, digest, hindrances } = review;
  return {
    ...{ request_id: requestId, act, agent, tier, people, role },
    broken_at: rfc3339(brokenAt),
    review_until: rfc3339(reviewUntil),
    digest,
    may_close: hindrances.length === 0,
    reasons: hindrances,
  };
}
