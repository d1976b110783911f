import { Controller, Get } from '@nestjs/common';
import { Caller } from './caller';
import type { CallerIdentity } from './caller-identity';
import { PoaRequests } from './poa-requests';
import { statusJson } from './presentation';

/** What waits for the caller's word. */
@Controller('approvals')
export class ApprovalsController {
  constructor(private readonly requests: PoaRequests) {}

  @Get()
  async list(@Caller() { spiffeId }: CallerIdentity): Promise<Record<string, unknown>> {
    const waiting = await this.requests.waiting();
    const mine = waiting.filter(
      (status) =>
        status.state === 'pending' && status.assessed && status.eligibleApprovers.includes(spiffeId),
    );
    return { approvals: mine.map(statusJson) };
  }
}
