import { Body, Controller, Get, HttpCode, Param, Post, Query, Req } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { AtbError } from '../../domain/error';
import type { Requirement } from '../../domain/policy';
import type { PolicyEngine } from '../../domain/ports';
import type { Recollection } from '../../domain/recollection';
import type { RequestStatus } from '../../domain/request-status';
import { collectPath } from '../../domain/signed-request';
import { Caller } from './caller';
import type { CallerIdentity } from './caller-identity';
import { Consultations } from './consultations';
import { consultationJson } from './consultations.controller';
import { PoaRequests } from './poa-requests';
import { Policy } from './policy';
import { PollPace } from './poll-pace';
import { mandateJson, pollingOf, recentJson, standingOf, statusJson } from './presentation';
import { SignedRequests } from './signed-requests';
import { verdictOf } from './validation';

const LONGEST_WAIT_SECONDS = 30;

/** One request, for the agent that asked and for those who may decide about it; for everybody else there is none. */
@Controller('requests/:id')
export class RequestsController {
  constructor(
    private readonly requests: PoaRequests,
    private readonly consultations: Consultations,
    private readonly signed: SignedRequests,
    private readonly pace: PollPace,
    @Policy() private readonly policy: PolicyEngine,
  ) {}

  @Get()
  async show(
    @Caller() caller: CallerIdentity,
    @Param('id') id: string,
    @Query('wait') wait: string | undefined,
    @Req() request: FastifyRequest,
  ): Promise<Record<string, unknown>> {
    const waitSeconds = waitOf(wait);
    const first = await this.requests.standing(id);
    const own = await this.isOwn(caller, first);
    if (own) await this.pace.require(caller.spiffeId, id, pollingOf(first));
    else await this.requireMayDecide(caller, first);
    const gone = () => request.raw.socket.destroyed;
    const status =
      waitSeconds === 0 || first.state !== 'pending'
        ? first
        : await this.requests.changedStatus(id, waitSeconds, gone);
    // For whoever decides, and not for the agent itself: what came of its last requests.
    if (own || !('agent' in status) || status.agent === null) return statusJson(status);
    const { tier } = status;
    const asked = tier && ({ flow: 'request', subject: id, kind: tier, openedAt: null } as const);
    const consultation = asked && (await this.consultations.about(asked));
    return {
      ...statusJson(status),
      consultation: consultation && consultationJson(consultation),
      agent_recent: (await this.requests.recentOf(status.agent, id)).map(recentJson),
    };
  }

  @Post('verdicts')
  @HttpCode(200)
  async verdict(
    @Caller() caller: CallerIdentity,
    @Param('id') id: string,
    @Body() body: unknown,
  ): Promise<Record<string, unknown>> {
    const verdict = verdictOf(body);
    // A stranger with somebody's signed verdict may carry it here: what counts is who signed. But nobody unknown.
    if (!(await this.policy.principal(caller.spiffeId)).known) throw unknownRequest();
    return statusJson(standingOf(await this.requests.submitVerdict(id, verdict), id));
  }

  @Post('collect')
  @HttpCode(200)
  async collect(
    @Caller() caller: CallerIdentity,
    @Param('id') id: string,
    @Body() body: unknown,
  ): Promise<Record<string, unknown>> {
    const collecting = this.signed.open(caller, body, collectPath(id));
    await this.requireOwn(collecting.caller, id);
    const status = standingOf(await this.requests.collect(id, collecting.caller), id);
    if (status.state !== 'issued') throw new AtbError('not_approved', `the request is ${status.state}`);
    if (Date.now() >= status.expiresAt * 1000) {
      throw new AtbError('mandate_lapsed', 'the one mandate of this request has lapsed', { requestId: id });
    }
    return mandateJson(status);
  }

  @Post('withdraw')
  @HttpCode(200)
  async withdraw(
    @Caller() caller: CallerIdentity,
    @Param('id') id: string,
  ): Promise<Record<string, unknown>> {
    await this.requireOwn(caller, id);
    return statusJson(standingOf(await this.requests.withdraw(id, caller), id));
  }

  /** Attack 5: knowing the id is not enough. Who may see the request learns that it is another's; nobody else does. */
  private async requireOwn(caller: CallerIdentity, id: string): Promise<void> {
    const status = await this.requests.standing(id);
    if (await this.isOwn(caller, status)) return;
    await this.requireMaySee(caller, status);
    throw new AtbError('agent_mismatch', 'only the agent that asked may do this', { requestId: id });
  }

  private async isOwn(caller: CallerIdentity, status: RequestStatus | Recollection): Promise<boolean> {
    if ('agent' in status && status.agent !== null) return status.agent === caller.spiffeId;
    return this.requests.startedBy(status.requestId, caller);
  }

  /** The asking agent, its approvers (those who may, and those who did), and Security (attack 13). */
  private async requireMaySee(caller: CallerIdentity, status: RequestStatus | Recollection): Promise<void> {
    if (!(await this.isOwn(caller, status))) await this.requireMayDecide(caller, status);
  }

  private async requireMayDecide(
    { spiffeId }: CallerIdentity,
    status: RequestStatus | Recollection,
  ): Promise<void> {
    if ('verdicts' in status && status.verdicts.some(({ by }) => by === spiffeId)) return;
    if ('eligibleApprovers' in status && status.eligibleApprovers.includes(spiffeId)) return;
    const principal = await this.policy.principal(spiffeId);
    const mayDecide =
      'requirement' in status &&
      principal.roles.some((role) => decidingRoles(status.requirement).includes(role));
    if (mayDecide || principal.mayRevokeAny) return;
    throw unknownRequest();
  }
}

function decidingRoles({ roles, releaseRoles }: Requirement): readonly string[] {
  return [...roles, ...releaseRoles];
}

function unknownRequest(): AtbError {
  return new AtbError('request_unknown', 'there is no such request, or it is not yours to see');
}

function waitOf(wait: string | undefined): number {
  if (wait === undefined) return 0;
  if (!/^\d{1,2}$/.test(wait) || Number(wait) > LONGEST_WAIT_SECONDS) {
    throw new AtbError(
      'invalid_request',
      `wait must be a whole number of seconds, at most ${LONGEST_WAIT_SECONDS}`,
    );
  }
  return Number(wait);
}
