import {
  allHandlersFinished,
  ApplicationFailure,
  CancellationScope,
  condition,
  ParentClosePolicy,
  patched,
  proxyActivities,
  setCurrentDetails,
  setDefaultSignalHandler,
  setHandler,
  startChild,
  upsertSearchAttributes,
} from '@temporalio/workflow';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import type { ConsultationActivities, ConsultationRef } from '../activities/consultation-types';
import { consultationId } from '../domain/consultation';
import type { ConsultationAnswer, ConsultationStatus, ConsultedMatter } from '../domain/consultation';
import { isRefusedPayload } from '../domain/refused-payload';
import {
  ATB_STATE,
  ATB_WAITING_ON,
  CONSULTATION,
  consultationAnswerUpdate,
  consultationQuery,
  consultationWorkflowId,
} from './contract';
import type { ConsultationSubmission, ConsultationWorkflow } from './contract';
import { epochSecondsNow, persistently } from './persistence';
import { RejectedSignals } from './rejected-signals';
import { SignedWords, refusedAs } from './signed-words';
import { requireStatement } from './statement';
import { Turns } from './turns';

const MOST_REFUSED = 50;
const MOST_ANSWERS = 50;
// Histories from before this ask no teams.
const CONSULTS = 'consults';

const steps = proxyActivities<ConsultationActivities>({
  startToCloseTimeout: '7 seconds',
  // Insert-once in the database; `persistently` repeats with a timer between.
  scheduleToCloseTimeout: '10 seconds',
  retry: { maximumAttempts: 1 },
});

/**
 * Whose work something is, and who is asked about it (RACI, operating model §1): the teams that are Responsible and
 * Accountable are told, those that are Consulted have a limited time to answer. Whatever waits for people waits for none
 * of these answers.
 */
export async function consultation(matter: ConsultedMatter): Promise<ConsultationStatus> {
  if (isRefusedPayload(matter)) throw ApplicationFailure.nonRetryable(matter.reason, 'payload_refused');
  return new ConsultationProcedure(matter).run();
}

/** Begins it once, as a workflow of its own that outlives whoever began it. */
export async function consult(matter: ConsultedMatter): Promise<void> {
  if (!patched(CONSULTS)) return;
  try {
    await startChild<ConsultationWorkflow>(CONSULTATION, {
      workflowId: consultationWorkflowId(consultationId(matter)),
      workflowIdReusePolicy: 'REJECT_DUPLICATE',
      parentClosePolicy: ParentClosePolicy.ABANDON,
      args: [matter],
      staticSummary: `consultation · ${matter.flow}`,
      typedSearchAttributes: [{ key: ATB_STATE, value: 'asking' }],
    });
  } catch (error) {
    // Begun before, by a run that was reset.
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
  }
}

class ConsultationProcedure {
  private status: ConsultationStatus;
  private readonly turns = new Turns();
  private readonly rejected = new RejectedSignals(this.turns, ({ position, signal }) =>
    this.step(() => steps.recordConsultationSignal({ consultation: this.ref, position, signal })),
  );
  private readonly signed = new SignedWords(MOST_REFUSED);

  constructor(private readonly matter: ConsultedMatter) {
    const { flow, subject, kind, title } = matter;
    this.status = {
      ...{ id: consultationId(matter), flow, subject, kind, title, state: 'asking' },
      ...{ responsible: [], accountable: [], consulted: [], answers: [], unanswered: [] },
      ...{ askedAt: epochSecondsNow(), answerUntil: null, policyRevision: null },
    };
    setHandler(consultationQuery, () => this.status);
    setHandler(consultationAnswerUpdate, (submission) => this.answer(submission), {
      validator: requireStatement,
    });
    // A bare signal counts for nothing here; answers are signed words.
    setDefaultSignalHandler((name) => this.rejected.reject(name, null));
  }

  /** Nobody cancels it: its time ends it. */
  run(): Promise<ConsultationStatus> {
    return CancellationScope.nonCancellable(() => this.toItsEnd());
  }

  private get ref(): ConsultationRef {
    return { ...this.matter, id: this.status.id, askedAt: this.status.askedAt };
  }

  private async toItsEnd(): Promise<ConsultationStatus> {
    const begun = await this.step(() => steps.beginConsultation(this.ref));
    if (begun.effect === 'begun') {
      const { responsible, accountable, consulted, answerUntil, policyRevision } = begun;
      this.become({ responsible, accountable, consulted, answerUntil, policyRevision });
      const left = Math.max(0, answerUntil - epochSecondsNow());
      await condition(() => this.missing.length === 0, left * 1000);
      await this.turns.take(() => this.end(answerUntil));
    } else {
      this.become({ state: 'over' });
    }
    await condition(allHandlersFinished);
    return this.status;
  }

  private async end(answerUntil: number): Promise<void> {
    const teams = this.missing;
    if (teams.length > 0)
      await this.step(() => steps.endConsultation({ consultation: this.ref, teams, answerUntil }));
    this.become({ state: 'over', unanswered: teams });
  }

  private get missing(): readonly string[] {
    const answered = this.status.answers.map(({ team }) => team);
    return this.status.consulted.filter((team) => !answered.includes(team));
  }

  private async answer({ statement }: ConsultationSubmission): Promise<ConsultationAnswer> {
    await condition(() => this.status.answerUntil !== null || this.status.state === 'over');
    return this.turns.take(async () => {
      const { state, answers } = this.status;
      if (state === 'over') return refusedAs('consultation_over', 'the time to answer is over');
      if (this.signed.areTooMany || answers.length >= MOST_ANSWERS) {
        return refusedAs('too_many_requests', 'there are too many answers to this');
      }
      const outcome = await this.signed.judged(() =>
        steps.answerConsultation({ consultation: this.ref, statement }),
      );
      if ('done' in outcome) return outcome;
      if (answers.some(({ jti }) => jti === outcome.answer.jti)) {
        return refusedAs('verdict_already_used', 'a word with this jti was recorded before');
      }
      this.become({ answers: [...answers, outcome.answer] });
      return { done: true, status: this.status };
    });
  }

  private become(change: Partial<ConsultationStatus>): void {
    this.status = { ...this.status, ...change };
    const { state } = this.status;
    upsertSearchAttributes([
      { key: ATB_STATE, value: state },
      { key: ATB_WAITING_ON, value: state === 'asking' ? [...this.missing] : [] },
    ]);
    setCurrentDetails(details(this.status));
  }

  private step<T>(work: () => Promise<T>): Promise<T> {
    return persistently(work, () => undefined);
  }
}

/** Markdown for an operator, without anything that somebody else wrote. */
function details({ flow, subject, state, consulted, answers, unanswered }: ConsultationStatus): string {
  return [
    `**${state}** · ${flow} \`${subject}\`, asked: ${consulted.join(', ') || 'nobody'}`,
    ...answers.map(({ team, verdict, by }) => `- ${team}: ${verdict} by \`${by}\``),
    ...unanswered.map((team) => `- ${team}: no answer in time`),
  ].join('\n\n');
}
