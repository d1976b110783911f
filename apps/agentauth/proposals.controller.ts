import { Body, Controller, Get, HttpCode, Param, Post } from '@nestjs/common';
import { AtbError } from '../../domain/error';
import type { JsonObject } from '../../domain/json';
import type { PolicyEngine } from '../../domain/ports';
import { parseProposed } from '../../domain/proposal';
import type { ProposalStatus, SignOffAnswer } from '../../domain/proposal';
import { jsonOf, membersOf, statementOf } from './body';
import { Caller } from './caller';
import type { CallerIdentity } from './caller-identity';
import { Consultations } from './consultations';
import { consultationJson } from './consultations.controller';
import { personOf } from './person';
import { Policy } from './policy';
import { rfc3339 } from './presentation';
import { Proposals } from './proposals';

const REFUSAL = { code: 'proposal_by_unknown_person', what: 'proposals' } as const;

/** What people sign off: connectors, policy bundles, changes. For people of the directory; others see nothing. */
@Controller('proposals')
export class ProposalsController {
  constructor(
    private readonly proposals: Proposals,
    private readonly consultations: Consultations,
    @Policy() private readonly policy: PolicyEngine,
  ) {}

  @Post()
  @HttpCode(201)
  async propose(@Caller() caller: CallerIdentity, @Body() body: unknown): Promise<Record<string, unknown>> {
    await this.requirePerson(caller);
    const { statement, ...proposed } = jsonOf(body) as JsonObject;
    return done(await this.proposals.propose(parseProposed(proposed), statementOf(statement)));
  }

  @Get()
  async list(@Caller() caller: CallerIdentity): Promise<Record<string, unknown>> {
    const mayKnow = await this.requirePerson(caller);
    return { proposals: (await this.proposals.list()).filter(mayKnow).map(proposalJson) };
  }

  @Get(':id')
  async show(@Caller() caller: CallerIdentity, @Param('id') id: string): Promise<Record<string, unknown>> {
    const mayKnow = await this.requirePerson(caller);
    const status = await this.proposals.status(id);
    if (!mayKnow(status)) throw new AtbError('proposal_unknown', 'there is no such proposal');
    const { kind } = status;
    const asked = await this.consultations.about({ flow: 'proposal', subject: id, kind, openedAt: null });
    return { ...proposalJson(status), consultation: asked && consultationJson(asked) };
  }

  @Post(':id/sign-offs')
  @HttpCode(200)
  async signOff(
    @Caller() caller: CallerIdentity,
    @Param('id') id: string,
    @Body() body: unknown,
  ): Promise<Record<string, unknown>> {
    await this.requirePerson(caller);
    const { statement } = membersOf(body, ['statement']);
    return done(await this.proposals.signOff(id, statementOf(statement)));
  }

  /** Answers what this person may know of: probes are for Security, and for whoever proposed them. */
  private async requirePerson(caller: CallerIdentity): Promise<(status: ProposalStatus) => boolean> {
    const { mayRevokeAny: ofSecurity } = await personOf(this.policy, caller, REFUSAL);
    return (status) => status.kind !== 'probe' || ofSecurity || status.author === caller.spiffeId;
  }
}

function done(answer: SignOffAnswer): Record<string, unknown> {
  if (answer.done) return proposalJson(answer.status);
  throw new AtbError(answer.code, answer.message, { reasons: answer.reasons });
}

function proposalJson(status: ProposalStatus): Record<string, unknown> {
  const { id, kind, name, state, digest, content, author } = status;
  return {
    ...{ proposal_id: id, kind, name, state, digest, content, author },
    proposed_at: rfc3339(status.proposedAt),
    words: status.words.map(({ receivedAt, ...word }) => ({ ...word, received_at: rfc3339(receivedAt) })),
    outstanding: status.outstanding,
    waiting_on: status.waitingOn,
    ends_at: status.endsAt === null ? null : rfc3339(status.endsAt),
    policy_revision: status.policyRevision,
    reasons: status.reasons,
  };
}
