import { Controller, Get } from '@nestjs/common';
import type { PolicyEngine } from '../../domain/ports';
import type { Pending, RequestStatus } from '../../domain/request-status';
import { Caller } from './caller';
import type { CallerIdentity } from './caller-identity';
import { PoaRequests } from './poa-requests';
import { Policy } from './policy';
import { statusJson } from './presentation';

/** What waits for the caller's word. */
@Controller('approvals')
export class ApprovalsController {
  constructor(
    private readonly requests: PoaRequests,
    @Policy() private readonly policy: PolicyEngine,
  ) {}

  /** Most urgent first: what expires next. */
  @Get()
  async list(@Caller() { spiffeId }: CallerIdentity): Promise<Record<string, unknown>> {
    const { kind, roles } = await this.policy.principal(spiffeId);
    // An agent approves nothing (attack 6), and learns nothing of what others wait for.
    if (kind !== 'person') return { approvals: [] };
    const waiting = await this.requests.waiting(roles);
    const mine = waiting.filter((status) => waitsFor(status, spiffeId));
    return { approvals: mine.sort((a, b) => a.expiresAt - b.expiresAt).map(statusJson) };
  }
}

function waitsFor(status: RequestStatus, spiffeId: string): status is Pending {
  return status.state === 'pending' && status.assessed && status.eligibleApprovers.includes(spiffeId);
}
