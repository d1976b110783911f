import {
  allHandlersFinished,
  ApplicationFailure,
  CancellationScope,
  condition,
  continueAsNew,
  inWorkflowContext,
  isCancellation,
  patched,
  proxyActivities,
  proxyLocalActivities,
  setDefaultSignalHandler,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import type { Activities, Assessment, Denial, IssuanceOutcome } from '../activities/types';
import type { ErrorCode } from '../domain/error';
import type { PoaRequest } from '../domain/mandate-request';
import { isRefusedPayload } from '../domain/refused-payload';
import { isFinal } from '../domain/request-status';
import type {
  Answer,
  Assessed,
  Ended,
  Interruption,
  RecordedVerdict,
  RequestStatus,
} from '../domain/request-status';
import {
  collectUpdate,
  decisionUpdate,
  policyMovedSignal,
  statusQuery,
  verdictSignal,
  verdictUpdate,
  withdrawUpdate,
} from './contract';
import type { CarriedOver } from './carried-over';
import { consult } from './consultation';
import type { CallerSubmission, PoaRequestWorkflow, PolicyMove, VerdictSubmission } from './contract';
import { MOST_REFUSED_VERDICTS, RejectedSignals } from './rejected-signals';
import { epochSecondsNow, notOurs, persistently, retryableCodeOf } from './persistence';
import { present } from './presentation';
import { Turns } from './turns';

// A certificate chain and a reason of 2,000 characters fit several times.
const LONGEST_STATEMENT = 32_768;

const NEXT_RUN = 'worker_unavailable';

// Versions of this procedure, by the names of what histories before them do not have.
const LOOKS_AGAIN = 'looks-again-who-may-approve';
const HEARS_LATE_NO = 'hears-a-no-until-it-is-collected';
const MINDS_NEW_CLOCKS = 'minds-the-clocks-of-a-policy-that-moved';

/**
 * The short path, before anybody can send anything: local, so that it costs no further trip to the server.
 * `persistently` repeats, with a timer between, so that the request can say meanwhile what it waits for; a repeat is
 * harmless, because every step is insert-once in the database.
 */
const atOnce = proxyLocalActivities<Activities>({
  // A round trip or two to the database, and under 80 % of the workflow task's ten seconds.
  startToCloseTimeout: '7 seconds',
  retry: { maximumAttempts: 1 },
});

/**
 * Everything later. Not local: updates arrive while these run, and a local activity's result and an update that meet in
 * one workflow task do not replay in the order in which they happened.
 */
const later = proxyActivities<Activities>({
  startToCloseTimeout: '7 seconds',
  // Nobody waits longer for an answer, and a mandate must not be minted for an agent that has gone.
  scheduleToCloseTimeout: '10 seconds',
  retry: { maximumAttempts: 1 },
});

/**
 * One request for a mandate, from asking to its end. Its result is where the request stands at last, with the mandate
 * when one was issued.
 */
export async function poaRequest(input: PoaRequest, carried?: CarriedOver): Promise<RequestStatus> {
  return new RequestProcedure(requireSealed(input), requireSealed(carried)).run();
}

class RequestProcedure {
  private status: RequestStatus;
  private readonly turns = new Turns();
  private statements: readonly string[] = [];
  private assessment: Assessment | undefined;
  private rung = 0;
  private remindersSent = 0;
  /** How often policy gave it other clocks while it waited. */
  private clocks = 0;
  private readonly rejected = new RejectedSignals<Refusal>(
    this.turns,
    ({ signal, position, fault: { code, message } }) =>
      this.step(() => later.recordRejectedSignal({ request: this.request, position, signal, code, message })),
    (name) => {
      setHandler(verdictSignal, undefined);
      setDefaultSignalHandler(undefined);
      if (name === policyMovedSignal.name) setHandler(policyMovedSignal, undefined);
    },
  );
  private refusedVerdicts = 0;

  constructor(
    private readonly request: PoaRequest,
    carried: CarriedOver | undefined,
  ) {
    this.status = { ...this.asked(), state: 'pending', assessed: false, interruption: null };
    if (carried) this.takeUp(carried);
    setHandler(statusQuery, () => this.status);
    setHandler(decisionUpdate, () => this.decision());
    setHandler(verdictUpdate, ({ verdict }) => this.answering(() => this.verdict(verdict)), {
      validator: requireStatement,
    });
    setHandler(collectUpdate, (submission) => this.answering(() => this.collect(submission)), {
      validator: requireSealed,
    });
    setHandler(withdrawUpdate, (submission) => this.answering(() => this.withdraw(submission)), {
      validator: requireSealed,
    });
    setHandler(policyMovedSignal, (move) => this.policyMoved(move));
    if (!this.rejected.isHearing) return;
    setHandler(verdictSignal, (submission) => this.signalled(verdictSignal.name, submission));
    setDefaultSignalHandler((name, submission) => this.signalled(name, submission));
  }

  async run(): Promise<RequestStatus> {
    if (!this.assessment) await this.turns.take(() => this.admit());
    try {
      while (!isFinal(this.status)) {
        if (this.isDueToContinue()) return await this.continued();
        if (this.status.state === 'pending') await this.climbLadder();
        else await this.awaitCollection();
      }
    } catch (error) {
      if (!isCancellation(error)) throw error;
      await this.turns.take(() => this.end('cancelled', 'request_finished', ['cancelled_by_operator']));
    }
    await CancellationScope.nonCancellable(() => condition(allHandlersFinished));
    return this.status;
  }

  private async admit(): Promise<void> {
    // Where people will be asked, somebody may send something while this runs: see `later`.
    const steps = this.request.forecast === 'require' ? later : atOnce;
    const { admission, issuance } = await this.step(() => steps.issueAtOnce(this.request));
    switch (admission.effect) {
      case 'deny':
        this.become(this.ended('denied', admission));
        return;
      case 'require':
        this.wait(admission.assessment);
        return;
      case 'issue':
        this.assessment = admission.assessment;
        await this.issuedAtOnce(issuance);
        return;
      default:
        throw notOurs(admission);
    }
  }

  /** Nothing is required: the mandate went to the certificate that asked, or that certificate was not enough. */
  private async issuedAtOnce(issuance: IssuanceOutcome | null): Promise<void> {
    if (!issuance) throw notOurs(issuance);
    const refusal = this.take(issuance);
    if (refusal) await this.end('denied', refusal.code, [refusal.code], null, refusal.retryAt);
  }

  /** What the signing step made of the request; answers the refusal where the caller's proof was not enough. */
  private take(outcome: IssuanceOutcome): Refusal | null {
    switch (outcome.outcome) {
      case 'issued': {
        const { mandate, jti, expiresAt, tier, policyRevision } = outcome;
        this.become({
          ...this.assessed(),
          ...{ state: 'issued', tier, policyRevision, mandate, jti, expiresAt },
        });
        return null;
      }
      case 'outdated':
        this.keepOnly(outcome.kept, outcome.assessment);
        return {
          code: 'approval_missing',
          message: 'what was approved is not enough any more; people are asked again',
        };
      case 'denied':
        this.denied(outcome.denial);
        return {
          code: outcome.denial.code,
          message: 'policy denies the request now',
          reasons: outcome.denial.reasons,
        };
      case 'refused':
        return outcome;
      default:
        throw notOurs(outcome);
    }
  }

  private async verdict(statement: string): Promise<Answer> {
    if (this.statements.includes(statement))
      return refused('verdict_already_used', 'this verdict was counted before');
    // A no is heard until the mandate is taken (operating model §3).
    const onlyReject = this.status.state === 'approved' && patched(HEARS_LATE_NO);
    if (this.status.state !== 'pending' && !onlyReject) return refused(...notPending(this.status));
    const input = {
      ...{ request: this.request, counted: this.statements, statement },
      ...(onlyReject && { onlyReject }),
    };
    const outcome = await CancellationScope.nonCancellable(() => later.recordVerdict(input));
    switch (outcome.outcome) {
      case 'refused':
        return refused(outcome.code, outcome.message, outcome.reasons);
      case 'rejected':
        this.countVerdict(statement, outcome.verdict);
        await this.end('rejected', 'rejected', ['rejected'], outcome.verdict.by);
        break;
      case 'counted':
        this.countVerdict(statement, outcome.verdict);
        if (outcome.effect === 'issue') this.approve(outcome.assessment);
        else this.stillWait(outcome.assessment);
        break;
      default:
        throw notOurs(outcome);
    }
    return { done: true, status: this.status };
  }

  private async collect({ evidence }: CallerSubmission): Promise<Answer> {
    if (this.status.state !== 'approved') {
      if (this.status.state === 'issued' && this.status.mandate !== undefined) {
        return { done: true, status: this.status };
      }
      return this.status.state === 'pending'
        ? refused('not_approved', 'the request still waits for people')
        : refused(...notPending(this.status));
    }
    const input = { request: this.request, statements: this.statements, collector: evidence };
    const refusal = this.take(await CancellationScope.nonCancellable(() => later.issueMandate(input)));
    return refusal
      ? refused(refusal.code, refusal.message, refusal.reasons, refusal.retryAt)
      : { done: true, status: this.status };
  }

  private async withdraw({ evidence }: CallerSubmission): Promise<Answer> {
    if (isFinal(this.status)) return refused(...notPending(this.status));
    const { agent } = this.assessed();
    const refusal = await CancellationScope.nonCancellable(() =>
      later.confirmCaller({ agent, caller: evidence }),
    );
    if (refusal) return refused(refusal.code, refusal.message);
    await this.end('withdrawn', 'request_finished', ['withdrawn_by_agent'], agent);
    return { done: true, status: this.status };
  }

  private async signalled(name: string, submission: unknown): Promise<void> {
    const fault = faultOf(name, submission);
    if (fault) {
      await this.rejected.reject(name, fault);
      return;
    }
    await this.turns.take(async () => {
      if (this.refusedVerdicts >= MOST_REFUSED_VERDICTS) {
        // Whoever sends so many has the keys that seal, and no approver's key.
        await this.rejected.rejectInTurn(name, TOO_MANY_SIGNALS);
        return;
      }
      const { verdict } = submission as VerdictSubmission;
      const answer = await this.step(() => this.verdict(verdict));
      if (answer.done) return;
      this.refusedVerdicts += 1;
      await this.rejected.rejectInTurn(name, answer);
    });
  }

  /** Classifies again under another policy. It is only a hint: the signing step asks today's policy anyway. */
  private async policyMoved(move: PolicyMove): Promise<void> {
    if (isRefusedPayload(move)) return this.signalled(policyMovedSignal.name, move);
    await this.turns.take(async () => {
      if (!inWorkflowContext()) return;
      if (isFinal(this.status) || !this.assessment) return;
      if (this.assessment.policyRevision === move.revision) return;
      const waited = this.status.state === 'pending';
      const { agent } = this.assessment;
      const input = {
        ...{ request: this.request, agent, statements: this.statements, waited },
        ...(waited && { waitingOn: this.awaited() }),
      };
      const outcome = await this.step(() => later.reclassify(input));
      if (!outcome) return;
      switch (outcome.outcome) {
        case 'denied':
          this.denied(outcome.denial);
          return;
        case 'required':
          this.keep(outcome.kept);
          if (waited) this.stillWait(outcome.assessment);
          else this.wait(outcome.assessment);
          return;
        case 'met':
          this.keep(outcome.kept);
          if (this.status.state === 'approved') {
            this.assessment = outcome.assessment;
            this.become({ ...this.status, ...this.assessed() });
          } else this.approve(outcome.assessment);
          return;
        default:
          throw notOurs(outcome);
      }
    });
  }

  /**
   * The server says when a history is long. Nobody's update may be under way then: it would be lost. Not `patched`: this
   * is asked while conditions are looked at, and no history of the version before was that long.
   */
  private isDueToContinue(): boolean {
    return workflowInfo().continueAsNewSuggested && allHandlersFinished();
  }

  private continued(): Promise<never> {
    const { status, statements, assessment, rung, remindersSent, refusedVerdicts } = this;
    const rejectedSignals = this.rejected.count;
    if (!assessment) throw ApplicationFailure.nonRetryable('the request was not assessed', 'internal');
    const counters = { rung, remindersSent, rejectedSignals, refusedVerdicts };
    return continueAsNew<PoaRequestWorkflow>(this.request, { status, statements, assessment, ...counters });
  }

  private takeUp(carried: CarriedOver): void {
    this.status = carried.status;
    this.statements = carried.statements;
    this.assessment = carried.assessment;
    this.rung = carried.rung;
    this.remindersSent = carried.remindersSent;
    this.rejected.count = carried.rejectedSignals;
    this.refusedVerdicts = carried.refusedVerdicts;
    present(this.status);
  }

  private async decision(): Promise<RequestStatus> {
    await condition(() => !isUnassessed(this.status) || this.status.interruption !== null);
    return this.status;
  }

  /** An update takes its turn; what cannot be reached is answered at once, and the caller may come again. */
  private async answering(work: () => Promise<Answer>): Promise<Answer> {
    // What is under way holds the next run up: what comes now is for that one, and AgentAuth sends it again.
    if (this.assessment && workflowInfo().continueAsNewSuggested) {
      return refused(NEXT_RUN, 'the request goes on in a new run; try again');
    }
    await this.decision();
    if (isUnassessed(this.status))
      return refused(this.status.interruption?.code ?? 'internal', 'not assessed yet');
    return this.turns.take(async () => {
      try {
        return await work();
      } catch (error) {
        const code = retryableCodeOf(error);
        if (code === undefined) throw error;
        return refused(code, 'what this needs cannot be reached now; try again');
      }
    });
  }

  private async climbLadder(): Promise<void> {
    const { status, clocks } = this;
    if (status.state !== 'pending' || !status.assessed) return;
    const { pendingSince } = status;
    if (this.rung === 0) {
      this.rung = 1;
      await this.tell(0, status.waitingOn, pendingSince);
      await this.consult();
    }
    const stillHere = () =>
      this.status.state === 'pending' && this.status.assessed && this.status.pendingSince === pendingSince;
    const due = status.nextRung?.at ?? status.expiresAt;
    const reminder = this.reminderBefore(due, pendingSince);
    const left = await condition(
      () => !stillHere() || this.clocks !== clocks || this.isDueToContinue(),
      Math.max(0, (reminder ?? due) * 1000 - Date.now()),
    );
    if (left || !stillHere() || this.clocks !== clocks) return;
    if (reminder !== undefined) {
      await this.remind(++this.remindersSent, this.awaited(), pendingSince);
      await this.lookAgain();
      return;
    }
    const { nextRung } = status;
    if (!nextRung) {
      await this.turns.take(async () => {
        if (stillHere()) await this.end('expired', 'request_finished', ['not_approved_in_time']);
      });
      return;
    }
    await this.tell(this.rung++, nextRung.roles, pendingSince);
    await this.lookAgain();
    if (stillHere() && this.assessment) this.stillWait(this.assessment);
  }

  /**
   * A rung may make others eligible, and so may a day that passed. One try: what it cannot reach must not keep the next
   * rung, and each verdict and the signing step ask policy anyway.
   */
  private async lookAgain(): Promise<void> {
    if (!patched(LOOKS_AGAIN)) return;
    await this.turns.take(async () => {
      if (this.status.state !== 'pending') return;
      const outcome = await this.orNothing(() =>
        later.reassess({ request: this.request, statements: this.statements }),
      );
      if (outcome?.outcome !== 'required' && outcome?.outcome !== 'met') return;
      this.keep(outcome.kept);
      if (outcome.outcome === 'required') this.stillWait(outcome.assessment);
      else this.approve(outcome.assessment);
    });
  }

  /** What a step answers; null where it could not reach what it needs. */
  private async orNothing<T>(step: () => Promise<T>): Promise<T | null> {
    try {
      return await step();
    } catch (error) {
      if (isCancellation(error) || retryableCodeOf(error) === undefined) throw error;
      return null;
    }
  }

  /** When those who are awaited are reminded, if that is due before the next rung. */
  private reminderBefore(due: number, pendingSince: number): number | undefined {
    // Absent from what an earlier version of policy answered.
    const after = this.assessment?.reminders?.[this.remindersSent];
    const at = after === undefined ? undefined : pendingSince + after;
    return at !== undefined && at < due ? at : undefined;
  }

  /** Once for each tier that it has. */
  private async consult(): Promise<void> {
    const { requestId, asked } = this.request;
    const { agent, tier } = this.assessed();
    await consult({
      ...{ flow: 'request', subject: requestId, kind: tier, openedAt: null },
      title: `${tier} ${asked.act} for ${agent}`,
    });
  }

  private async remind(reminder: number, roles: readonly string[], pendingSince: number): Promise<void> {
    const { agent, tier } = this.assessed();
    const input = { request: this.request, agent, tier, rung: reminder, roles, pendingSince };
    await this.step(() => later.remind(input));
  }

  private async tell(rung: number, roles: readonly string[], pendingSince: number): Promise<void> {
    const { agent, tier } = this.assessed();
    await this.step(() => later.escalate({ request: this.request, agent, tier, rung, roles, pendingSince }));
  }

  private async awaitCollection(): Promise<void> {
    const { status } = this;
    if (status.state !== 'approved') return;
    const gone = () => this.status !== status || this.isDueToContinue();
    if (await condition(gone, Math.max(0, status.approvedUntil * 1000 - Date.now()))) return;
    await this.turns.take(async () => {
      if (this.status === status) await this.end('expired', 'request_finished', ['not_collected_in_time']);
    });
  }

  private approve(assessment: Assessment): void {
    this.assessment = assessment;
    const approvedUntil = epochSecondsNow() + assessment.collectWithinSeconds;
    this.become({ ...this.assessed(), state: 'approved', approvedUntil });
  }

  /** Starts to wait for people: the ladder begins anew. */
  private wait(assessment: Assessment): void {
    this.rung = 0;
    this.remindersSent = 0;
    this.pendingFrom(assessment, epochSecondsNow());
  }

  private stillWait(assessment: Assessment): void {
    const { status } = this;
    if (this.assessment && clocksOf(this.assessment) !== clocksOf(assessment) && patched(MINDS_NEW_CLOCKS)) {
      this.clocks++;
    }
    this.pendingFrom(
      assessment,
      status.state === 'pending' && status.assessed ? status.pendingSince : epochSecondsNow(),
    );
  }

  private pendingFrom(assessment: Assessment, pendingSince: number): void {
    this.assessment = assessment;
    const next = assessment.escalation[Math.max(0, this.rung - 1)];
    this.become({
      ...this.assessed(),
      state: 'pending',
      assessed: true,
      outstanding: assessment.outstanding,
      waitingOn: assessment.waitingOn,
      eligibleApprovers: assessment.eligibleApprovers,
      pendingSince,
      expiresAt: pendingSince + assessment.expiresAfterSeconds,
      nextRung: next ? { at: pendingSince + next.afterSeconds, roles: next.roles } : null,
      interruption: null,
    });
  }

  /** Verdicts that no longer count are dropped; what is missing now is asked for. */
  private keepOnly(kept: readonly string[], assessment: Assessment): void {
    this.keep(kept);
    this.wait(assessment);
  }

  private keep(kept: readonly string[]): void {
    const verdicts = this.verdicts().filter((_, index) => kept.includes(this.statements[index] ?? ''));
    this.statements = this.statements.filter((statement) => kept.includes(statement));
    this.status = { ...this.status, verdicts } as RequestStatus;
  }

  private countVerdict(statement: string, verdict: RecordedVerdict): void {
    this.statements = [...this.statements, statement];
    this.status = { ...this.status, verdicts: [...this.verdicts(), verdict] } as RequestStatus;
  }

  private async end(
    state: Ended['state'],
    code: ErrorCode,
    reasons: readonly string[],
    actor: string | null = null,
    retryAt?: number,
  ): Promise<void> {
    if (isFinal(this.status)) return;
    const agent = this.assessment?.agent ?? null;
    const tier = this.assessment?.tier ?? null;
    const input = { request: this.request, agent, tier, state, actor, code, reasons };
    const closed = await this.step(() => later.closeRequest(input));
    const isIssued = typeof closed === 'object' && 'state' in closed && closed.state === 'issued';
    // Whoever withdraws is told, and may still collect it.
    if (!closed || (isIssued && state === 'withdrawn')) {
      throw ApplicationFailure.nonRetryable('a mandate was issued for this request before', 'already_issued');
    }
    if (typeof closed === 'object') {
      if ('effect' in closed) this.denied(closed);
      else this.become({ ...closed, ...this.asked() });
      return;
    }
    const policyRevision = this.assessment?.policyRevision ?? null;
    this.become({
      ...this.ended(state, { agent, tier, policyRevision, code, reasons }),
      ...(retryAt !== undefined && { retryAt }),
    });
  }

  /** Also by somebody's no that only the log had: its step broke off. */
  private denied(denial: Denial): void {
    this.become(this.ended(denial.code === 'rejected' ? 'rejected' : 'denied', denial));
  }

  private ended(state: Ended['state'], why: Omit<Denial, 'effect'>): Ended {
    const { agent, tier, policyRevision, code, reasons, faults } = why;
    const ended = { ...this.asked(), state, agent, tier, policyRevision, code, reasons };
    return { ...ended, ...(faults && { faults }), verdicts: this.verdicts() };
  }

  private become(status: RequestStatus): void {
    this.status = status;
    present(status);
  }

  private step<T>(work: () => Promise<T>): Promise<T> {
    return persistently(work, (interruption) => {
      this.interrupt(interruption);
    });
  }

  private interrupt(interruption: Interruption | null): void {
    const { status } = this;
    if (status.state !== 'pending' || status.interruption === interruption) return;
    this.become({ ...status, interruption });
  }

  private awaited(): readonly string[] {
    return 'waitingOn' in this.status ? this.status.waitingOn : [];
  }

  private verdicts(): readonly RecordedVerdict[] {
    return 'verdicts' in this.status ? this.status.verdicts : [];
  }

  private asked() {
    const { requestId, asked, evidence } = this.request;
    return {
      requestId,
      requestedAt: evidence.presentedAt,
      act: asked.act,
      ticket: asked.ticket,
      justification: asked.justification,
    };
  }

  private assessed(): Assessed {
    const { assessment } = this;
    if (!assessment) throw ApplicationFailure.nonRetryable('the request was not assessed', 'internal');
    const { agent, tier, policyRevision, requirement, toApprove, raises, polling } = assessment;
    return {
      ...this.asked(),
      agent,
      tier,
      policyRevision,
      requirement,
      ...(raises && { raises }),
      ...(polling && { polling }),
      toApprove,
      verdicts: this.verdicts(),
    };
  }
}

/** What decides when whom is told, and when it expires: to be compared. */
function clocksOf({ escalation, reminders, expiresAfterSeconds }: Assessment): string {
  return JSON.stringify([escalation, reminders, expiresAfterSeconds]);
}

/** What is wrong with a signal by its form alone, or null. */
function faultOf(name: string, submission: unknown): Refusal | null {
  if (isRefusedPayload(submission)) return { code: 'payload_refused', message: submission.reason };
  if (name !== verdictSignal.name || !isStatement(submission)) {
    return { code: 'verdict_malformed', message: 'the signal carries no signed verdict' };
  }
  return null;
}

const TOO_MANY_SIGNALS: Refusal = {
  code: 'too_many_requests',
  message: 'too many signals carried no verdict that counts',
};

interface Refusal {
  readonly code: ErrorCode;
  readonly message: string;
  readonly reasons?: readonly string[];
  readonly retryAt?: number;
}

function refused(
  code: ErrorCode,
  message: string,
  reasons: readonly string[] = [],
  retryAt?: number,
): Answer {
  return { done: false, code, message, reasons, ...(retryAt !== undefined && { retryAt }) };
}

function notPending(status: RequestStatus): [ErrorCode, string] {
  return ['request_finished', `the request is ${status.state}`];
}

function isUnassessed(status: RequestStatus) {
  return status.state === 'pending' && !status.assessed;
}

function isStatement(submission: unknown): submission is VerdictSubmission {
  const verdict = (submission as Partial<VerdictSubmission> | null | undefined)?.verdict;
  return typeof verdict === 'string' && verdict.length <= LONGEST_STATEMENT;
}

function requireStatement(submission: unknown): void {
  requireSealed(submission);
  if (!isStatement(submission)) {
    throw ApplicationFailure.nonRetryable('the verdict is not a compact JWS', 'verdict_malformed');
  }
}

/** What was not sealed for this workflow is refused, never looked at. */
function requireSealed<T>(submission: T): T {
  if (isRefusedPayload(submission))
    throw ApplicationFailure.nonRetryable(submission.reason, 'payload_refused');
  return submission;
}
