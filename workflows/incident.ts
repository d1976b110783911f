import {
  allHandlersFinished,
  ApplicationFailure,
  CancellationScope,
  condition,
  continueAsNew,
  inWorkflowContext,
  patched,
  proxyActivities,
  setCurrentDetails,
  setDefaultSignalHandler,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import type { IncidentActivities, OpenedIncident } from '../activities/incident-types';
import type {
  IncidentAnswer,
  IncidentRef,
  IncidentStatus,
  IncidentStep,
  IncidentWord,
} from '../domain/incident';
import { isRefusedPayload } from '../domain/refused-payload';
import type { StopTarget } from '../domain/stop';
import type { CarriedIncident } from './carried-incident';
import {
  ATB_STATE,
  ATB_WAITING_ON,
  incidentLiftedSignal,
  incidentOpenedUpdate,
  incidentQuery,
  incidentSightedSignal,
  incidentWordUpdate,
} from './contract';
import type { IncidentStart, IncidentWordSubmission } from './contract';
import { consult } from './consultation';
import { epochSecondsNow, persistently } from './persistence';
import { RejectedSignals } from './rejected-signals';
import { SignedWords, refusalOf, refusedAs } from './signed-words';
import { requireStatement } from './statement';
import { tellIncidents } from './stop';
import { Turns } from './turns';

const LONGEST_ABOUT = 512;
const MOST_REFUSED = 200;
const MOST_WORDS = 500;
/** Signals that something was lifted: more are noise. In each run anew. */
const MOST_LOOKS = 200;
/** What was seen lately is not counted again; older ones are forgotten, so that a storm stays small. */
const MOST_REMEMBERED = 10_000;

// Before it what was seen again after the resolution was only counted, and nobody was called.
const SEEN_AGAIN = 'incident-seen-again';
// Histories from before this ignore signals without a trace.
const SIGNALS_RECORDED = 'incident-signals-recorded';

const steps = proxyActivities<IncidentActivities>({
  startToCloseTimeout: '7 seconds',
  // Insert-once in the database; `persistently` repeats with a timer between.
  scheduleToCloseTimeout: '10 seconds',
  retry: { maximumAttempts: 1 },
});

/**
 * An incident (operating model §5), from its first report to its review. Its ladder tells one rung after the other, the
 * last again and again, until somebody acknowledges with a signed word.
 */
export async function incident(start: IncidentStart, carried?: CarriedIncident): Promise<IncidentStatus> {
  if (isRefusedPayload(start)) throw ApplicationFailure.nonRetryable(start.reason, 'payload_refused');
  return new IncidentProcedure(start, carried).run();
}

class IncidentProcedure {
  private status: IncidentStatus;
  private opened: OpenedIncident | undefined;
  private refusal: IncidentAnswer | undefined;
  private readonly turns = new Turns();
  private readonly rejected = new RejectedSignals(this.turns, ({ position, signal }) =>
    this.step(() => steps.recordIncidentSignal({ incident: this.ref, position, signal })),
  );
  private readonly remembered: Set<string>;
  private readonly signed = new SignedWords(MOST_REFUSED);
  private reminders: number;
  private looks = 0;
  private isReopening = false;

  constructor(
    private readonly start: IncidentStart,
    carried: CarriedIncident | undefined,
  ) {
    const { id, report } = start;
    this.status = {
      ...{
        id,
        kind: report.matter.kind,
        cause: report.matter.cause,
        title: '',
        severity: null,
        state: 'open',
      },
      ...{ openedAt: epochSecondsNow(), openedBy: null, count: 0, rung: -1, told: [], climbed: [] },
      ...{
        acknowledgedAt: null,
        resolvedAt: null,
        reopenedAt: [],
        words: [],
        containments: [],
        openFollowUps: [],
      },
      ...{ policyRevision: null, reasons: [] },
      ...carried?.status,
    };
    this.opened = carried?.opened;
    this.remembered = new Set(carried?.remembered);
    this.signed.refused = carried?.refused ?? 0;
    this.reminders = carried?.reminders ?? 0;
    this.rejected.count = carried?.rejectedSignals ?? 0;
    setHandler(incidentQuery, () => this.status);
    setHandler(incidentSightedSignal, (sighting) => this.sighted(sighting));
    setHandler(incidentLiftedSignal, () => this.liftedElsewhere());
    setHandler(incidentOpenedUpdate, () => this.answered());
    setHandler(incidentWordUpdate, (submission) => this.word(submission), { validator: requireWord });
    // A bare signal counts for nothing here; words come with an answer.
    if (this.rejected.isHearing) setDefaultSignalHandler((name) => this.signalled(name));
  }

  /** Nobody cancels an incident: it ends with its review. */
  run(): Promise<IncidentStatus> {
    return CancellationScope.nonCancellable(() => this.toItsEnd());
  }

  private async toItsEnd(): Promise<IncidentStatus> {
    if (!this.opened) await this.turns.take(() => this.open());
    while (this.isOngoing()) {
      if (workflowInfo().continueAsNewSuggested && this.opened) {
        await condition(allHandlersFinished);
        if (this.isOngoing()) await continueAsNew<typeof incident>(this.start, this.carriedOver(this.opened));
      }
      await (this.status.state === 'open' ? this.climb() : this.awaitReview());
    }
    await condition(allHandlersFinished);
    return this.status;
  }

  private get ref(): IncidentRef {
    const { id, kind, openedAt } = this.status;
    return { id, kind, openedAt };
  }

  private isOngoing(): boolean {
    return this.status.state !== 'closed' && this.status.state !== 'refused';
  }

  private async open(): Promise<void> {
    const outcome = await this.step(() =>
      steps.openIncident({ incident: this.ref, report: this.start.report }),
    );
    if (outcome.effect === 'refused') {
      const { code, reasons } = outcome;
      this.refusal = refusalOf(outcome);
      this.become({ state: 'refused', reasons: reasons.length > 0 ? reasons : [code] });
      return;
    }
    this.opened = outcome;
    const { title, severity, by, policyRevision } = outcome;
    const since = epochSecondsNow();
    const containments = outcome.contained.map((target) => ({
      ...{ ...target, by: null, since, liftedBy: null, liftedAt: null },
    }));
    this.become({ title, severity, openedBy: by, policyRevision, containments });
    const { id, kind, openedAt } = this.status;
    await consult({
      ...{ flow: 'incident', subject: id, kind, openedAt },
      title: `${severity} incident: ${title}`,
    });
  }

  private async signalled(name: string): Promise<void> {
    if (patched(SIGNALS_RECORDED)) await this.rejected.reject(name, null);
  }

  private async sighted(sighting: unknown): Promise<void> {
    if (isRefusedPayload(sighting)) return this.signalled(incidentSightedSignal.name);
    const { sightings, atLeast } = (sighting ?? {}) as { sightings?: unknown; atLeast?: unknown };
    const all = Array.isArray(sightings) ? (sightings as readonly unknown[]) : [];
    const fresh = all.filter((one): one is string => typeof one === 'string' && !this.remembered.has(one));
    for (const one of fresh) this.remembered.add(one);
    for (const oldest of this.remembered) {
      if (this.remembered.size <= MOST_REMEMBERED) break;
      this.remembered.delete(oldest);
    }
    const more = all.length === 0 ? 1 : new Set(fresh).size;
    const count = Math.max(this.status.count + more, Number.isSafeInteger(atLeast) ? (atLeast as number) : 0);
    if (count > this.status.count) this.become({ count });
    if (fresh.length > 0 && this.status.state === 'resolved') await this.reopen();
  }

  /** Whoever resolved it was at another one: people are called anew. */
  private async reopen(): Promise<void> {
    if (this.isReopening || !patched(SEEN_AGAIN)) return;
    this.isReopening = true;
    await this.turns.take(async () => {
      // A workflow that is evicted meanwhile runs this outside of itself: it comes again in the replay.
      if (!inWorkflowContext()) return;
      const { state, count, reopenedAt } = this.status;
      if (state === 'resolved') {
        const reopening = reopenedAt.length + 1;
        await this.step(() => steps.reopenIncident({ incident: this.ref, reopening, count }));
        this.reminders = 0;
        this.become({
          ...{ state: 'open', rung: -1, told: [], acknowledgedAt: null, resolvedAt: null },
          reopenedAt: [...reopenedAt, epochSecondsNow()],
        });
      }
      this.isReopening = false;
    });
  }

  /** Absent of an incident that never was: its steps are those of before. */
  private get reopening(): { readonly reopening?: number } {
    const { length } = this.status.reopenedAt;
    return length === 0 ? {} : { reopening: length };
  }

  private async answered(): Promise<IncidentAnswer> {
    await condition(() => (this.opened !== undefined && !this.isReopening) || this.refusal !== undefined);
    return this.refusal ?? { done: true, status: this.status };
  }

  private async word({ statement, about }: IncidentWordSubmission): Promise<IncidentAnswer> {
    await this.answered();
    return this.turns.take(async () => {
      if (!this.isOngoing()) return refusedAs('incident_not_due', `the incident is ${this.status.state}`);
      if (this.signed.areTooMany || this.status.words.length >= MOST_WORDS) {
        return refusedAs('too_many_requests', 'there are too many words on this incident');
      }
      const due = this.due(about);
      const outcome = await this.signed.judged(() =>
        steps.incidentWord({ incident: this.ref, statement, about, due }),
      );
      if ('done' in outcome) return outcome;
      if (this.status.words.some(({ jti }) => jti === outcome.word.jti)) {
        return refusedAs('verdict_already_used', 'a word with this jti was recorded before');
      }
      await this.take(outcome.word);
      if (outcome.contained) this.contained(outcome.word, outcome.contained);
      await tellIncidents(outcome.others ?? []);
      return { done: true, status: this.status };
    });
  }

  /** What may be said as it stands. */
  private due(about: string | null): readonly IncidentStep[] {
    const { state, openFollowUps } = this.status;
    if (about !== null) {
      if (openFollowUps.includes(about)) return ['follow_up_close'];
      return state === 'resolved' ? ['lift'] : ['contain', 'lift'];
    }
    switch (state) {
      case 'open':
        return ['note', 'follow_up', 'acknowledge'];
      case 'acknowledged':
        return ['note', 'follow_up', 'resolve'];
      case 'resolved':
        return openFollowUps.length > 0 ? ['note', 'follow_up'] : ['note', 'follow_up', 'review'];
      case 'closed':
      case 'refused':
        return [];
    }
  }

  private async take(word: IncidentWord): Promise<void> {
    const { words, openFollowUps, count, acknowledgedAt, resolvedAt } = this.status;
    const said = { words: [...words, word] };
    switch (word.step) {
      case 'note':
      case 'contain':
      case 'lift':
        this.become(said);
        return;
      case 'acknowledge':
        this.become({ ...said, state: 'acknowledged', acknowledgedAt: word.receivedAt });
        return;
      case 'resolve':
        this.become({ ...said, state: 'resolved', resolvedAt: word.receivedAt });
        return;
      case 'follow_up':
        this.become({ ...said, openFollowUps: [...openFollowUps, word.jti] });
        return;
      case 'follow_up_close':
        this.become({ ...said, openFollowUps: openFollowUps.filter((jti) => jti !== word.about) });
        return;
      case 'review': {
        const followUps = words.filter(({ step }) => step === 'follow_up').length;
        await this.step(() =>
          steps.closeIncident({
            ...{ incident: this.ref, count, acknowledgedAt, followUps },
            resolvedAt: resolvedAt ?? word.receivedAt,
          }),
        );
        this.become({ ...said, state: 'closed' });
      }
    }
  }

  private contained({ step, by, receivedAt }: IncidentWord, { scope, value }: StopTarget): void {
    const { containments } = this.status;
    const standing = containments.find(
      (one) => one.scope === scope && one.value === value && one.liftedAt === null,
    );
    if (step === 'lift') {
      const lifted = containments.map((one) =>
        one === standing ? { ...one, liftedBy: by, liftedAt: receivedAt } : one,
      );
      this.become({ containments: lifted });
    } else if (!standing) {
      const one = { scope, value, by, since: receivedAt, liftedBy: null, liftedAt: null };
      this.become({ containments: [...containments, one] });
    }
  }

  /** A word elsewhere, which may be somebody's noise: the log says whether, and who. */
  private async liftedElsewhere(): Promise<void> {
    this.looks += 1;
    if (this.looks > MOST_LOOKS) return;
    await this.turns.take(async () => {
      // A workflow that is evicted meanwhile runs this outside of itself: it comes again in the replay.
      if (!inWorkflowContext()) return;
      const standing = this.status.containments.filter(({ liftedAt }) => liftedAt === null);
      if (!this.isOngoing() || standing.length === 0) return;
      const lifted = await this.step(() => steps.liftedOf({ containments: standing }));
      const containments = this.status.containments.map((one) => {
        const found = lifted.find(({ scope, value }) => scope === one.scope && value === one.value);
        return found && one.liftedAt === null ? { ...one, liftedBy: found.by, liftedAt: found.at } : one;
      });
      if (lifted.length > 0) this.become({ containments });
    });
  }

  /** Tells the next rung when it is due; after the last one that one again, until somebody acknowledges. */
  private async climb(): Promise<void> {
    const { opened, status } = this;
    if (!opened) return;
    const moved = () => this.status.state !== 'open';
    const { escalation, responseSeconds } = opened;
    const next = status.rung + 1;
    const last = escalation.at(-1);
    // Nobody is told of what goes to the backlog.
    if (!last) {
      await condition(moved);
      return;
    }
    const rung = escalation[next];
    const after = rung?.afterSeconds ?? last.afterSeconds + responseSeconds * (next - escalation.length + 1);
    const since = status.reopenedAt.at(-1) ?? status.openedAt;
    const wait = Math.max(0, since + after - epochSecondsNow());
    if (wait > 0 && (await condition(moved, wait * 1000))) return;
    await this.turns.take(async () => {
      if (moved()) return;
      const roles = (rung ?? last).roles;
      const { title, severity } = opened;
      await this.step(() =>
        steps.escalateIncident({ incident: this.ref, title, severity, rung: next, roles, ...this.reopening }),
      );
      const { climbed } = this.status;
      const first = rung ? [{ roles, at: epochSecondsNow() }] : [];
      this.become({ rung: next, told: roles, climbed: [...climbed, ...first] });
    });
  }

  /** Whoever is at work is left to it; once it is resolved, the review is asked for again and again. */
  private async awaitReview(): Promise<void> {
    const { state, resolvedAt } = this.status;
    const { opened } = this;
    const moved = () => this.status.state !== state;
    if (state !== 'resolved' || !opened || resolvedAt === null) {
      await condition(moved);
      return;
    }
    const due = resolvedAt + opened.reviewSeconds * (this.reminders + 1);
    if (await condition(moved, Math.max(1, due - epochSecondsNow()) * 1000)) return;
    await this.turns.take(async () => {
      if (moved()) return;
      const rung = this.reminders;
      const { title, reviewRoles: roles } = opened;
      const openFollowUps = this.status.openFollowUps.length;
      await this.step(() =>
        steps.remindOfReview({ incident: this.ref, title, rung, roles, openFollowUps, ...this.reopening }),
      );
      this.reminders = rung + 1;
    });
  }

  private carriedOver(opened: OpenedIncident): CarriedIncident {
    const { status, remembered, reminders } = this;
    const { refused } = this.signed;
    const rejectedSignals = this.rejected.count;
    return { status, opened, remembered: [...remembered], refused, reminders, rejectedSignals };
  }

  private become(change: Partial<IncidentStatus>): void {
    const before = this.status;
    this.status = { ...before, ...change };
    const { state, told, containments } = this.status;
    if (before.state !== state || before.told !== told || before.containments !== containments) {
      upsertSearchAttributes([
        { key: ATB_STATE, value: state },
        { key: ATB_WAITING_ON, value: state === 'open' ? [...told] : [] },
      ]);
      setCurrentDetails(details(this.status));
    }
  }

  private step<T>(work: () => Promise<T>): Promise<T> {
    return persistently(work, () => undefined);
  }
}

/** Markdown for an operator, without anything that somebody else wrote. */
function details({
  severity,
  state,
  kind,
  openedBy,
  told,
  words,
  openFollowUps,
  containments,
}: IncidentStatus): string {
  return [
    `**${severity ?? ''} ${state}** · \`${kind}\`, opened by \`${openedBy ?? 'nobody known'}\``,
    ...(state === 'open' && told.length > 0 ? [`Told: ${told.join(', ')}.`] : []),
    ...words.map(({ step, by, role }) => `- ${step} by \`${by}\` (${role})`),
    ...containments.map(
      ({ scope, liftedAt }) => `- stopped: ${scope}${liftedAt === null ? '' : ' (lifted)'}`,
    ),
    ...(openFollowUps.length > 0 ? [`Open follow-ups: ${openFollowUps.length}.`] : []),
  ].join('\n\n');
}

function requireWord(submission: unknown): void {
  requireStatement(submission);
  const { about } = submission as { about?: unknown };
  if (about !== null && (typeof about !== 'string' || about.length > LONGEST_ABOUT)) {
    throw ApplicationFailure.nonRetryable('the word is about nothing that there is', 'verdict_malformed');
  }
}
