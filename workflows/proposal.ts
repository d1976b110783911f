import {
  allHandlersFinished,
  ApplicationFailure,
  CancellationScope,
  condition,
  getExternalWorkflowHandle,
  inWorkflowContext,
  isCancellation,
  log,
  patched,
  proxyActivities,
  setCurrentDetails,
  setDefaultSignalHandler,
  setHandler,
  sleep,
  startChild,
  upsertSearchAttributes,
} from '@temporalio/workflow';
import type { ProposalActivities, ProposalStanding } from '../activities/proposal-types';
import type { ProposalStatus, SignOffAnswer } from '../domain/proposal';
import { isRefusedPayload } from '../domain/refused-payload';
import { parseProbes } from '../domain/probe';
import { asRequestId } from '../domain/request-id';
import {
  ATB_ACTION,
  ATB_AGENT,
  ATB_STATE,
  ATB_TICKET,
  ATB_WAITING_ON,
  POA_REQUEST,
  poaRequestWorkflowId,
  proposalQuery,
  proposalSupersededSignal,
  proposalWorkflowId,
  proposedUpdate,
  signOffUpdate,
} from './contract';
import type { PoaRequestWorkflow, ProposalInput } from './contract';
import { consult } from './consultation';
import { epochSecondsNow, persistently } from './persistence';
import { RejectedSignals } from './rejected-signals';
import { SignedWords, refusalOf, refusedAs } from './signed-words';
import { requireStatement } from './statement';
import { Turns } from './turns';

const MOST_REFUSED = 200;
/** Signals that something may be in its place: more are noise. */
const MOST_LOOKS = 200;
// Before it the ids of probes could begin with "-", which told them apart from those of requests.
const IDS_OF_REQUESTS = 'probe-ids-of-requests';

const steps = proxyActivities<ProposalActivities>({
  startToCloseTimeout: '7 seconds',
  // Insert-once in the database; `persistently` repeats with a timer between.
  scheduleToCloseTimeout: '10 seconds',
  retry: { maximumAttempts: 1 },
});

/**
 * Something that people have to sign off (operating model §2.3, §2.4, §7), from the proposal to its end. What holds for
 * a time only is watched until that time is over: then it is in force no more.
 */
export async function proposal(input: ProposalInput): Promise<ProposalStatus> {
  if (isRefusedPayload(input)) throw ApplicationFailure.nonRetryable(input.reason, 'payload_refused');
  return new ProposalProcedure(input).run();
}

class ProposalProcedure {
  private status: ProposalStatus;
  private standing: ProposalStanding | undefined;
  private readonly turns = new Turns();
  private refusal: SignOffAnswer | undefined;
  private rung = 0;
  private readonly signed = new SignedWords(MOST_REFUSED);
  private readonly rejected = new RejectedSignals(this.turns, ({ position, signal }) => {
    const { id, proposed } = this.input;
    return this.step(() => steps.recordProposalSignal({ id, proposed, position, signal }));
  });
  private validUntil: number | null = null;
  private looks = 0;

  constructor(private readonly input: ProposalInput) {
    const { id, proposed } = input;
    this.status = {
      ...proposed,
      ...{ id, digest: null, author: null, proposedAt: epochSecondsNow() },
      ...{ state: 'pending', words: [], outstanding: [], waitingOn: [], endsAt: null },
      ...{ policyRevision: null, reasons: [] },
    };
    setHandler(proposalQuery, () => this.status);
    setHandler(proposedUpdate, () => this.proposed());
    setHandler(proposalSupersededSignal, () => this.superseded());
    setHandler(signOffUpdate, ({ statement }) => this.signOff(statement), { validator: requireStatement });
    // A bare signal counts for nothing here; words come with an answer.
    setDefaultSignalHandler((name) => this.rejected.reject(name, null));
  }

  async run(): Promise<ProposalStatus> {
    await this.turns.take(() => this.admit());
    try {
      while (this.status.state === 'pending') await this.climbLadder();
      if (this.status.state === 'approved' && this.status.kind === 'probe') await this.beginProbes();
      if (this.status.state === 'approved' && this.validUntil !== null) await this.watchOver(this.validUntil);
    } catch (error) {
      if (!isCancellation(error)) throw error;
      await CancellationScope.nonCancellable(() => this.cancelled());
    }
    await CancellationScope.nonCancellable(() => condition(allHandlersFinished));
    return this.status;
  }

  private async admit(): Promise<void> {
    const outcome = await this.step(() => steps.propose(this.input));
    if (outcome.effect === 'refused') {
      this.refusal = refusalOf(outcome);
      this.become({
        state: 'denied',
        reasons: outcome.reasons.length > 0 ? outcome.reasons : [outcome.code],
      });
      return;
    }
    this.take(outcome);
    const { id, kind, name } = this.status;
    await consult({
      ...{ flow: 'proposal', subject: id, kind, openedAt: null },
      title: `${kind.replaceAll('_', ' ')} ${name}`,
    });
  }

  private async proposed(): Promise<SignOffAnswer> {
    await condition(() => this.standing !== undefined || this.refusal !== undefined);
    return this.refusal ?? { done: true, status: this.status };
  }

  private async signOff(statement: string): Promise<SignOffAnswer> {
    await this.proposed();
    return this.turns.take(async () => {
      if (this.status.state !== 'pending') {
        return refusedAs('proposal_finished', `the proposal is ${this.status.state}`);
      }
      if (this.signed.areTooMany) {
        return refusedAs('too_many_requests', 'too many sign-offs did not count');
      }
      const { id, proposed } = this.input;
      const outcome = await this.signed.judged(() =>
        CancellationScope.nonCancellable(() => steps.signOff({ id, proposed, statement })),
      );
      if ('done' in outcome) return outcome;
      this.take(outcome);
      if (this.standing?.effect !== 'wait') await this.conclude();
      return { done: true, status: this.status };
    });
  }

  private async conclude(): Promise<void> {
    const conclusion = await this.step(() => steps.concludeProposal({ id: this.input.id }));
    this.take(conclusion.standing);
    if (conclusion.state === 'wait') return;
    this.validUntil = conclusion.validUntil;
    this.become({
      state: conclusion.state,
      ...{ outstanding: [], waitingOn: [], endsAt: conclusion.validUntil },
      reasons: conclusion.state === 'rejected' ? ['rejected'] : [],
    });
    await this.supersede(conclusion.supersedes ?? []);
  }

  /** One that has ended hears nothing. */
  private async supersede(proposals: readonly string[]): Promise<void> {
    for (const id of proposals) {
      const other = getExternalWorkflowHandle(proposalWorkflowId(id));
      try {
        await CancellationScope.nonCancellable(() => other.signal(proposalSupersededSignal));
      } catch {
        log.info('the proposal has ended, and is not told what is in its place', { proposal: id });
      }
    }
  }

  /** A signal, which may be somebody's noise: the database says whether it is so. */
  private async superseded(): Promise<void> {
    this.looks += 1;
    if (this.looks > MOST_LOOKS) return;
    await this.turns.take(async () => {
      // A workflow that is evicted meanwhile runs this outside of itself: it comes again in the replay.
      if (!inWorkflowContext()) return;
      const { id, kind, name, state } = this.status;
      if (kind !== 'connector' || state !== 'approved') return;
      const now = await this.step(() => steps.connectorInForce({ id, name }));
      if (now !== 'approved' && this.isInForce()) this.become({ state: now, endsAt: null });
    });
  }

  private isInForce(): boolean {
    return this.status.state === 'approved';
  }

  private async climbLadder(): Promise<void> {
    const { standing } = this;
    if (!standing) return;
    const { proposedAt, waitingOn } = this.status;
    if (this.rung === 0) await this.tell(waitingOn);
    const next = standing.escalation[this.rung - 1];
    const end = proposedAt + standing.expiresAfterSeconds;
    const due = Math.min(end, next ? proposedAt + next.afterSeconds : end);
    const moved = () => this.status.state !== 'pending';
    if (await condition(moved, Math.max(0, (due - epochSecondsNow()) * 1000))) return;
    await this.turns.take(async () => {
      if (moved()) return;
      if (next && due < end) await this.tell(next.roles);
      else await this.end('expired', ['not_signed_off_in_time']);
    });
  }

  private async tell(roles: readonly string[]): Promise<void> {
    const { id, proposed } = this.input;
    const rung = this.rung++;
    await this.step(() => steps.escalateProposal({ id, proposed, rung, roles }));
  }

  /** Until it is in force no more, or its time is over: first those who would sign it off again are told, then it lapses. */
  private async watchOver(validUntil: number): Promise<void> {
    const { id, proposed } = this.input;
    const roles = [...new Set(this.status.words.map(({ role }) => role))].sort();
    const noticeAt = validUntil - (this.standing?.noticeSeconds ?? 0);
    const isOver = () => !this.isInForce();
    if (await condition(isOver, Math.max(0, (noticeAt - epochSecondsNow()) * 1000))) return;
    await this.step(() => steps.lapseProposal({ id, proposed, rung: 0, roles }));
    if (await condition(isOver, Math.max(0, (validUntil - epochSecondsNow()) * 1000))) return;
    await this.step(() => steps.lapseProposal({ id, proposed, rung: 1, roles }));
    if (!isOver()) this.become({ state: 'lapsed' });
  }

  /** One after the other in time: the first when it was ordered for, each other at a random moment of its own period. */
  private async beginProbes(): Promise<void> {
    const { asked, afterSeconds, everySeconds } = parseProbes(this.input.proposed);
    const first = epochSecondsNow() + afterSeconds;
    for (const turn of asked.keys()) {
      const at = first + (turn === 0 ? 0 : Math.floor((turn + Math.random()) * (everySeconds ?? 0)));
      await sleep(Math.max(0, at - epochSecondsNow()) * 1000, { summary: `until probe ${turn + 1} begins` });
      await this.beginProbe(turn);
    }
  }

  /** A request that nobody made: it goes on by itself, and its first step looks up what was signed off. */
  private async beginProbe(turn: number): Promise<void> {
    const { id, proposed } = this.input;
    const { agent, asked: series } = parseProbes(proposed);
    const asked = series[turn];
    if (!asked) return;
    const letters = madeUpLetters();
    const requestId = patched(IDS_OF_REQUESTS) ? asRequestId(letters) : letters;
    const evidence = { kind: 'probe' as const, proposal: id, turn, presentedAt: epochSecondsNow() };
    await startChild<PoaRequestWorkflow>(POA_REQUEST, {
      workflowId: poaRequestWorkflowId(requestId),
      workflowIdReusePolicy: 'REJECT_DUPLICATE',
      parentClosePolicy: 'ABANDON',
      args: [{ requestId, asked, evidence, forecast: 'require' }],
      typedSearchAttributes: [
        { key: ATB_ACTION, value: asked.act },
        { key: ATB_AGENT, value: agent },
        { key: ATB_STATE, value: 'pending' },
        ...(asked.ticket === null ? [] : [{ key: ATB_TICKET, value: asked.ticket }]),
      ],
    });
  }

  private async cancelled(): Promise<void> {
    // What is in force stays so: an operator who ends the workflow ends only the watching.
    if (this.status.state !== 'pending') return;
    await this.turns.take(() => this.end('cancelled', ['cancelled_by_operator']));
  }

  private async end(state: 'expired' | 'cancelled', reasons: readonly string[]): Promise<void> {
    const { id, proposed } = this.input;
    const ended = await this.step(() => steps.endProposal({ id, proposed, state, reasons }));
    this.become({ state: ended, reasons, outstanding: [], waitingOn: [], endsAt: null });
  }

  private take(standing: ProposalStanding): void {
    this.standing = standing;
    const { author, digest, words, outstanding, waitingOn, policyRevision } = standing;
    const endsAt = this.status.proposedAt + standing.expiresAfterSeconds;
    this.become({ author, digest, words, outstanding, waitingOn, policyRevision, endsAt });
  }

  private become(change: Partial<ProposalStatus>): void {
    const before = this.status;
    this.status = { ...before, ...change };
    const { state, waitingOn } = this.status;
    if (before.state !== state || before.waitingOn.join() !== waitingOn.join()) {
      upsertSearchAttributes([
        { key: ATB_STATE, value: state },
        { key: ATB_WAITING_ON, value: [...waitingOn] },
      ]);
    }
    setCurrentDetails(details(this.status));
  }

  private step<T>(work: () => Promise<T>): Promise<T> {
    return persistently(work, () => undefined);
  }
}

/** Markdown for an operator. */
function details({ kind, name, state, author, words, outstanding, waitingOn }: ProposalStatus): string {
  return [
    `**${state}** · ${kind.replaceAll('_', ' ')} \`${name}\`, proposed by \`${author ?? 'nobody known'}\``,
    ...words.map(({ step, verdict, by, role }) => `- ${step}: ${verdict} by \`${by}\` (${role})`),
    ...outstanding.map(({ title }) => `- missing: ${title}`),
    ...(waitingOn.length > 0 ? [`Waits for ${waitingOn.join(', ')}.`] : []),
  ].join('\n\n');
}

// As AgentAuth makes them.
const ID_LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const ID_LENGTH = 27;

/** For the id of a request, as any other. Temporal's Math.random gives the same again in a replay. */
function madeUpLetters(): string {
  const letter = () => ID_LETTERS.charAt(Math.floor(Math.random() * ID_LETTERS.length));
  return Array.from({ length: ID_LENGTH }, letter).join('');
}
