import { Body, Controller, Get, HttpCode, Post } from '@nestjs/common';
import { AtbError } from '../../domain/error';
import type { Json } from '../../domain/json';
import { LIFT_PATH, parseStopOrder, STOP_PATH } from '../../domain/stop';
import type { StopRequest } from '../../domain/stop';
import { Caller } from './caller';
import type { CallerIdentity } from './caller-identity';
import { PoaRequests } from './poa-requests';
import { rfc3339 } from './presentation';
import { SignedRequests } from './signed-requests';

/** Stops of an agent, a connector, a request or everything, and their lifting: each over a person's own signature. */
@Controller('stops')
export class StopsController {
  constructor(
    private readonly requests: PoaRequests,
    private readonly signed: SignedRequests,
  ) {}

  @Get()
  async list(@Caller() caller: CallerIdentity): Promise<Record<string, unknown>> {
    const stops = await this.requests.stops(caller);
    return {
      stops: stops.map(({ scope, value, stoppedAt, lifts }) => ({
        ...{ scope, value, stopped_at: rfc3339(stoppedAt) },
        lifts: lifts.map(({ by, at }) => ({ by, at: rfc3339(at) })),
      })),
    };
  }

  @Post()
  @HttpCode(200)
  stop(@Caller() caller: CallerIdentity, @Body() body: unknown): Promise<Record<string, unknown>> {
    return this.order('stop', caller, body);
  }

  @Post('lift')
  @HttpCode(200)
  lift(@Caller() caller: CallerIdentity, @Body() body: unknown): Promise<Record<string, unknown>> {
    return this.order('lift', caller, body);
  }

  private async order(
    operation: StopRequest['operation'],
    caller: CallerIdentity,
    sent: unknown,
  ): Promise<Record<string, unknown>> {
    const opened = this.signed.open(caller, sent, operation === 'stop' ? STOP_PATH : LIFT_PATH);
    const { evidence } = opened.caller;
    if (evidence.kind !== 'signed_request') {
      throw new AtbError('signed_request_required', 'sign the order with the key of your own SVID');
    }
    const order = parseStopOrder(opened.body as Json);
    const answer = await this.requests.order({ operation, statement: evidence.statement });
    if (!answer.done) throw new AtbError(answer.code, answer.message, { reasons: answer.reasons });
    return { state: answer.state, ...order.target };
  }
}
