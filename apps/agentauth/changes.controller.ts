import { Body, Controller, Get, HttpCode, Param, Post } from '@nestjs/common';
import { CHANGE_STEPS } from '../../domain/change';
import type { ChangeAnswer, ChangeStatus } from '../../domain/change';
import { AtbError } from '../../domain/error';
import type { PolicyEngine } from '../../domain/ports';
import { membersOf, statementOf } from './body';
import { Caller } from './caller';
import type { CallerIdentity } from './caller-identity';
import { Changes } from './changes';
import { personOf } from './person';
import { Policy } from './policy';
import { rfc3339 } from './presentation';

const REFUSAL = { code: 'proposal_by_unknown_person', what: 'changes' } as const;

/** Changes that were signed off (operating model §7): people run, abort and review them by their signed word. */
@Controller('changes')
export class ChangesController {
  constructor(
    private readonly changes: Changes,
    @Policy() private readonly policy: PolicyEngine,
  ) {}

  @Get()
  async list(@Caller() caller: CallerIdentity): Promise<Record<string, unknown>> {
    await this.requirePerson(caller);
    return { changes: (await this.changes.list()).map(changeJson) };
  }

  @Get(':id')
  async show(@Caller() caller: CallerIdentity, @Param('id') id: string): Promise<Record<string, unknown>> {
    await this.requirePerson(caller);
    return changeJson(await this.changes.status(id));
  }

  @Post(':id/words')
  @HttpCode(200)
  async word(
    @Caller() caller: CallerIdentity,
    @Param('id') id: string,
    @Body() body: unknown,
  ): Promise<Record<string, unknown>> {
    await this.requirePerson(caller);
    const { step: said, statement: word } = membersOf(body, ['step', 'statement']);
    const step = CHANGE_STEPS.find((known) => known === said);
    if (step === undefined) {
      throw new AtbError('sign_off_step_unknown', `step is none of ${CHANGE_STEPS.join(', ')}`);
    }
    const statement = statementOf(word);
    if (step === 'run') return done(await this.changes.run(id, statement));
    return done(await this.changes.word(id, { step, statement }));
  }

  private async requirePerson(caller: CallerIdentity): Promise<void> {
    await personOf(this.policy, caller, REFUSAL);
  }
}

function done(answer: ChangeAnswer): Record<string, unknown> {
  if (answer.done) return changeJson(answer.status);
  throw new AtbError(answer.code, answer.message, { reasons: answer.reasons });
}

function changeJson(status: ChangeStatus): Record<string, unknown> {
  const {
    id,
    state,
    kind,
    name,
    by,
    percent,
    phase,
    towards,
    since,
    until,
    steps,
    waitingOn,
    waitsFor,
    behind,
    reviewUntil,
    reviewedBy,
    reasons,
  } = status;
  return {
    ...{ change_id: id, state, kind, name, by, percent },
    started_at: rfc3339(status.startedAt),
    steps: steps.map(({ at, ...step }) => ({ at: rfc3339(at), ...step })),
    phase,
    towards,
    since: rfc3339(since),
    until: until === null ? null : rfc3339(until),
    waiting_on: waitingOn,
    waits_for: waitsFor,
    behind,
    review_until: reviewUntil === null ? null : rfc3339(reviewUntil),
    reviewed_by: reviewedBy,
    reasons,
  };
}
