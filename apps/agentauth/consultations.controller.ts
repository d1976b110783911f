import { Body, Controller, Get, HttpCode, Param, Post } from '@nestjs/common';
import { AtbError } from '../../domain/error';
import type { ConsultationStatus } from '../../domain/consultation';
import type { PolicyEngine } from '../../domain/ports';
import { membersOf, statementOf } from './body';
import { Caller } from './caller';
import type { CallerIdentity } from './caller-identity';
import { Consultations } from './consultations';
import { personOf } from './person';
import { Policy } from './policy';
import { rfc3339 } from './presentation';

const REFUSAL = { code: 'consultation_unknown', what: 'consultations' } as const;

/** What teams are asked before others decide (RACI, operating model §1), and their answers. */
@Controller('consultations')
export class ConsultationsController {
  constructor(
    private readonly consultations: Consultations,
    @Policy() private readonly policy: PolicyEngine,
  ) {}

  @Get()
  async list(@Caller() caller: CallerIdentity): Promise<Record<string, unknown>> {
    const mayKnow = await this.mayKnow(caller);
    return { consultations: (await this.consultations.list()).filter(mayKnow).map(consultationJson) };
  }

  @Get(':id')
  async show(@Caller() caller: CallerIdentity, @Param('id') id: string): Promise<Record<string, unknown>> {
    const mayKnow = await this.mayKnow(caller);
    const status = await this.consultations.status(id);
    if (!mayKnow(status)) throw new AtbError('consultation_unknown', 'there is no such consultation');
    return consultationJson(status);
  }

  @Post(':id/answers')
  @HttpCode(200)
  async answer(
    @Caller() caller: CallerIdentity,
    @Param('id') id: string,
    @Body() body: unknown,
  ): Promise<Record<string, unknown>> {
    const mayKnow = await this.mayKnow(caller);
    const { statement } = membersOf(body, ['statement']);
    const said = statementOf(statement);
    if (!mayKnow(await this.consultations.status(id))) {
      throw new AtbError('consultation_of_another_team', 'the teams that were asked answer this');
    }
    const answer = await this.consultations.answer(id, said);
    if (answer.done) return consultationJson(answer.status);
    throw new AtbError(answer.code, answer.message, { reasons: answer.reasons });
  }

  /** The people of the teams whose work it is or who are asked, and Security. */
  private async mayKnow(caller: CallerIdentity): Promise<(status: ConsultationStatus) => boolean> {
    const { team, mayRevokeAny: ofSecurity } = await personOf(this.policy, caller, REFUSAL);
    return ({ responsible, accountable, consulted }) =>
      ofSecurity || [...responsible, ...accountable, ...consulted].some((one) => one === team);
  }
}

export function consultationJson(status: ConsultationStatus): Record<string, unknown> {
  const { id, flow, subject, kind, title, state, responsible, accountable, consulted } = status;
  return {
    ...{ consultation_id: id, flow, about: subject, kind, title, state },
    ...{ responsible, accountable, consulted },
    // The number is what answers are signed over.
    ...{ asked_at: rfc3339(status.askedAt), asked_at_seconds: status.askedAt },
    answer_until: status.answerUntil === null ? null : rfc3339(status.answerUntil),
    answers: status.answers.map(({ receivedAt, ...answer }) => ({
      ...answer,
      received_at: rfc3339(receivedAt),
    })),
    unanswered: status.unanswered,
    policy_revision: status.policyRevision,
  };
}
