import {
  ActivityFailure,
  allHandlersFinished,
  ApplicationFailure,
  CancellationScope,
  condition,
  patched,
  proxyActivities,
  setCurrentDetails,
  setDefaultSignalHandler,
  setHandler,
  sleep,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import type {
  BegunChange,
  ChangeActivities,
  ChangeExecution,
  ChangeStepInput,
  StepOutcome,
} from '../activities/change-types';
import type { Refused } from '../activities/proposal-types';
import type {
  ChangeAnswer,
  ChangeEnd,
  ChangeEntry,
  ChangePhase,
  ChangeStatus,
  RollbackReason,
} from '../domain/change';
import { isRefusedPayload } from '../domain/refused-payload';
import {
  ATB_STATE,
  ATB_WAITING_ON,
  changeBegunUpdate,
  changeQuery,
  changeWordUpdate,
  OPERATIONS_TASK_QUEUE,
} from './contract';
import type { ChangeStart, ChangeWordSubmission } from './contract';
import { epochSecondsNow, persistently } from './persistence';
import { RejectedSignals } from './rejected-signals';
import { SignedWords, refusalOf, refusedAs } from './signed-words';
import { requireStatement } from './statement';
import { Turns } from './turns';

const MOST_REFUSED = 200;
// Of a change that stands in line: often enough for people, and a history of some hours stays short.
const ASKED_AGAIN = '15 seconds';
// Histories from before this ignore signals without a trace.
const SIGNALS_RECORDED = 'change-signals-recorded';

// Whom it waits for stands in a search attribute, in changes that began since.
const TELLS_WHO = 'change-waiting-on';

const records = proxyActivities<ChangeActivities>({
  startToCloseTimeout: '7 seconds',
  // Insert-once in the database; `persistently` repeats with a timer between.
  scheduleToCloseTimeout: '10 seconds',
  retry: { maximumAttempts: 1 },
});

const execution = proxyActivities<ChangeExecution>({
  taskQueue: OPERATIONS_TASK_QUEUE,
  // An operation has its own, shorter end. A worker that dies is noticed by its heartbeat, and `persistently` repeats:
  // the step itself knows what may be done twice.
  startToCloseTimeout: '2 hours',
  scheduleToStartTimeout: '1 minute',
  heartbeatTimeout: '10 seconds',
  retry: { maximumAttempts: 1 },
});

/**
 * Carries out a change that was signed off (operating model §7): in canary steps, each checked, and back again by
 * itself where a step or a check fails, where somebody aborts it, and where its window ends on the way.
 */
export async function change(start: ChangeStart): Promise<ChangeStatus> {
  if (isRefusedPayload(start)) throw ApplicationFailure.nonRetryable(start.reason, 'payload_refused');
  return new ChangeProcedure(start).run();
}

class ChangeProcedure {
  private status: ChangeStatus;
  private begun: BegunChange | undefined;
  private refusal: ChangeAnswer | undefined;
  private readonly turns = new Turns();
  private readonly rejected = new RejectedSignals(this.turns, ({ position, signal }) => {
    const { id } = this.start;
    const run = workflowInfo().originalExecutionRunId;
    return this.step(() => records.recordChangeSignal({ id, run, position, signal }));
  });
  private aborted = false;
  private readonly signed = new SignedWords(MOST_REFUSED);

  constructor(private readonly start: ChangeStart) {
    this.status = {
      ...{ id: start.id, state: 'starting', kind: null, name: null, startedAt: epochSecondsNow(), by: null },
      ...{ percent: 0, phase: 'prepare', towards: null, since: epochSecondsNow(), until: null },
      ...{ steps: [], waitingOn: [], waitsFor: null, behind: null },
      ...{ reviewUntil: null, reviewedBy: null, reasons: [] },
    };
    setHandler(changeQuery, () => this.status);
    setHandler(changeBegunUpdate, () => this.answered());
    setHandler(changeWordUpdate, (submission) => this.word(submission), { validator: requireWord });
    // A bare signal counts for nothing here; words come with an answer.
    setDefaultSignalHandler(async (name) => {
      if (patched(SIGNALS_RECORDED)) await this.rejected.reject(name, null);
    });
  }

  /** Whoever cancels it aborts it: it never ends halfway. */
  async run(): Promise<ChangeStatus> {
    CancellationScope.current().cancelRequested.catch(() => {
      this.aborted = true;
    });
    return CancellationScope.nonCancellable(() => this.toItsEnd());
  }

  private async toItsEnd(): Promise<ChangeStatus> {
    const { id, statement } = this.start;
    const prepared = await this.step(() => execution.prepareChange({ id }));
    const begun =
      prepared.effect === 'refused'
        ? prepared
        : await this.step(() => records.beginChange({ id, statement }));
    if (begun.effect === 'refused') {
      this.refuse(begun);
    } else {
      this.begun = begun;
      this.become({ state: 'running', kind: begun.kind, name: begun.name, by: begun.by });
      const reason = (await this.proven(() => this.climb(begun))) ?? 'change_not_proven';
      if (reason === 'complete' && !(await this.ends('completed'))) await this.goBack('change_not_proven');
      else if (reason !== 'complete') await this.goBack(reason);
      await this.awaitReview();
    }
    await condition(allHandlersFinished);
    return this.status;
  }

  /** One share after the other; answers why not further, where it is not complete. */
  private async climb({ canary, back }: BegunChange): Promise<RollbackReason | 'complete'> {
    if (back) return back;
    for (const [step, { percent, soakSeconds }] of canary.entries()) {
      if (this.aborted) return 'change_aborted';
      const input = { id: this.start.id, step };
      this.enter('apply', percent);
      const applied = await this.applied(input);
      if (applied === 'aborted') return 'change_aborted';
      this.tell('applied', percent, applied);
      if (applied.reason !== null) return applied.reason;
      this.become({ percent });
      this.enter('soak', percent, epochSecondsNow() + soakSeconds);
      if (soakSeconds > 0) await condition(() => this.aborted, soakSeconds * 1000);
      if (this.isAborted()) return 'change_aborted';
      this.enter('check', percent);
      const checked = await this.step(() => execution.checkChangeStep(input));
      this.tell('checked', percent, checked);
      if (checked.reason !== null) return checked.reason;
    }
    return 'complete';
  }

  /** Waits in line where another change changes the same. */
  private async applied(input: ChangeStepInput): Promise<StepOutcome | 'aborted'> {
    for (;;) {
      const applied = await this.step(() => execution.applyChangeStep(input));
      const behind = 'behind' in applied ? applied.behind : null;
      if (this.status.behind !== behind) {
        this.become({ behind });
        this.enter(behind === null ? 'apply' : 'in_line', this.status.towards);
      }
      if (!('behind' in applied)) return applied;
      if (await condition(() => this.aborted, ASKED_AGAIN)) return 'aborted';
    }
  }

  /** Until the log bears out that it is back, or that the way back failed: somebody else's word for it ends nothing. */
  private async goBack(reason: RollbackReason): Promise<void> {
    this.become({ state: 'rolling_back', reasons: [reason], behind: null });
    this.enter('roll_back', 0);
    const { id } = this.start;
    for (;;) {
      const back = await this.proven(() => this.step(() => execution.rollBackChange({ id, reason })));
      if (back && (await this.ends(back.good ? 'rolled_back' : 'rollback_failed'))) {
        this.tell('rolled_back', back.good ? 0 : this.status.percent, back);
        if (back.good) this.become({ percent: 0 });
        return;
      }
      await sleep('5 seconds', { summary: 'the log does not bear out what was said' });
    }
  }

  private async ends(state: ChangeEnd): Promise<boolean> {
    const { id } = this.start;
    const ended = await this.proven(() => this.step(() => records.endChange({ id, state })));
    if (ended) {
      const { reviewUntil, waitingOn = [] } = ended;
      this.become({ state: ended.state, reviewUntil, waitingOn });
      this.enter(reviewUntil === null ? null : 'review', null, reviewUntil);
    }
    return ended !== null;
  }

  /** Null where a step finds that the log does not bear out what it was told: never is a change left at that. */
  private async proven<T>(work: () => Promise<T>): Promise<T | null> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof ActivityFailure)) throw error;
      return null;
    }
  }

  /** An emergency is not over before its review; people are reminded of it again and again. */
  private async awaitReview(): Promise<void> {
    const isReviewed = () => this.status.reviewUntil === null;
    for (let count = 0; !isReviewed(); count += 1) {
      const due = this.status.reviewUntil ?? 0;
      if (await condition(isReviewed, Math.max(1, due - epochSecondsNow()) * 1000)) return;
      await this.turns.take(async () => {
        if (isReviewed()) return;
        const { id } = this.start;
        const reviewUntil = await this.step(() => records.remindOfChangeReview({ id, count }));
        this.become({ reviewUntil, until: reviewUntil });
      });
    }
  }

  private async answered(): Promise<ChangeAnswer> {
    await condition(() => this.begun !== undefined || this.refusal !== undefined);
    return this.refusal ?? { done: true, status: this.status };
  }

  private async word({ step, statement }: ChangeWordSubmission): Promise<ChangeAnswer> {
    const answer = await this.answered();
    if (!answer.done) return answer;
    return this.turns.take(async () => {
      if (this.signed.areTooMany) {
        return refusedAs('too_many_requests', 'there are too many words on this change');
      }
      const { id } = this.start;
      const outcome = await this.signed.judged(() => records.changeWord({ id, step, statement }));
      if ('done' in outcome) return outcome;
      if (step === 'abort') this.aborted = true;
      else this.reviewed(outcome.by);
      return { done: true, status: this.status };
    });
  }

  private reviewed(by: string): void {
    this.become({ reviewUntil: null, reviewedBy: by, waitingOn: [] });
    if (this.status.phase === 'review') this.enter(null);
  }

  private refuse(refused: Refused): void {
    this.refusal = refusalOf(refused);
    const { code, reasons } = refused;
    this.become({ state: 'refused', reasons: reasons.length > 0 ? reasons : [code] });
    this.enter(null);
  }

  private tell(what: ChangeEntry['what'], percent: number, { good, detail }: StepOutcome): void {
    this.become({ steps: [...this.status.steps, { at: epochSecondsNow(), what, percent, good, detail }] });
  }

  /** Read anew: an await lies between. */
  private isAborted(): boolean {
    return this.aborted;
  }

  private enter(phase: ChangePhase | null, towards: number | null = null, until: number | null = null): void {
    this.become({ phase, towards, until, since: epochSecondsNow() });
  }

  private become(change: Partial<ChangeStatus>): void {
    const before = this.status;
    this.status = { ...before, ...change };
    if (before.state !== this.status.state) {
      upsertSearchAttributes([{ key: ATB_STATE, value: this.status.state }]);
    }
    const { waitingOn } = this.status;
    if (before.waitingOn.join() !== waitingOn.join() && patched(TELLS_WHO)) {
      upsertSearchAttributes([{ key: ATB_WAITING_ON, value: [...waitingOn] }]);
    }
    setCurrentDetails(details(this.status));
  }

  private step<T>(work: () => Promise<T>): Promise<T> {
    return persistently(work, (interruption) => {
      const waitsFor = interruption?.code ?? null;
      if (this.status.waitsFor !== waitsFor) this.become({ waitsFor });
    });
  }
}

/** Markdown for an operator, without anything that a program wrote. */
function details({
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
  reasons,
}: ChangeStatus): string {
  return [
    `**${state}** · ${kind?.replaceAll('_', ' ') ?? 'change'} \`${name ?? ''}\`, run by \`${by ?? 'nobody known'}\``,
    `At ${percent} percent.`,
    ...(phase === null
      ? []
      : [
          [
            `Now: **${phase.replaceAll('_', ' ')}**`,
            ...(towards === null ? [] : [`towards ${towards} percent`]),
            `since ${moment(since)}`,
            ...(until === null ? [] : [`until ${moment(until)}`]),
          ].join(' '),
        ]),
    ...(waitingOn.length > 0 ? [`Waits for ${waitingOn.join(', ')}.`] : []),
    ...steps.map(
      (step) => `- ${step.what.replaceAll('_', ' ')} at ${step.percent}: ${step.good ? 'good' : 'failed'}`,
    ),
    ...(reasons.length > 0 ? [`Because of ${reasons.join(', ')}.`] : []),
    ...(waitsFor === null ? [] : [`Waits: ${waitsFor}.`]),
    ...(behind === null ? [] : [`Waits behind \`${behind}\`, which changes the same.`]),
  ].join('\n\n');
}

function moment(epochSeconds: number): string {
  return new Date(epochSeconds * 1000).toISOString().replace('.000Z', 'Z');
}

function requireWord(submission: unknown): void {
  requireStatement(submission);
  const { step } = submission as { step?: unknown };
  if (step !== 'abort' && step !== 'review') {
    throw ApplicationFailure.nonRetryable('the word is none to abort or to review', 'verdict_malformed');
  }
}
