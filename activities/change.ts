import type { AuditEvent } from '../domain/audit-event';
import { isChangeKind, rollbackReason } from '../domain/change';
import type { ChangeEnd, ChangePlan, RollbackReason } from '../domain/change';
import { sha256Base64url } from '../domain/digest';
import { AtbError } from '../domain/error';
import { cutShort } from '../domain/foreign-text';
import type { Changes, Notifier, OpenChange } from '../domain/ports';
import { proposalDigest } from '../domain/proposal-digest';
import { epochSeconds, fromEpochSeconds } from './assessment';
import {
  changeEvent,
  changeOf,
  hasPassed,
  judgedWord,
  reachedPercent,
  requireSignedOff,
} from './change-record';
import type { ChangeRecordPorts, RecordedChange } from './change-record';
import type {
  BegunChange,
  ChangeActivities,
  ChangeConclusion,
  ChangeSignal,
  ChangeWordInput,
  CountedChangeWord,
} from './change-types';
import { byCode, orRefusal } from './failure';
import { refusable, standing } from './proposal';
import type { Refused } from './proposal-types';

/** What the worker's steps of a change reach. */
export type ChangePorts = ChangeRecordPorts & { readonly changes: Changes; readonly notifier: Notifier };

// More would fill no meeting, and no message.
const MOST_ON_AGENDA = 200;

/** The activities over their ports. */
export function createChangeActivities(all: ChangePorts): ChangeActivities {
  /** One step asks one revision of policy, from its first question to its last. */
  const step = <T>(work: (ports: ChangePorts) => Promise<T>): Promise<T> =>
    byCode(() => work({ ...all, policy: all.policy.snapshot() }));
  return {
    beginChange: (input) => step((ports) => word(ports, input, (asked) => begin(asked, input.statement))),
    changeWord: ({ step: what, ...input }) =>
      step((ports) => word(ports, input, (asked) => counted(asked, input.statement, what))),
    endChange: (input) => step((ports) => end(ports, input)),
    recordChangeSignal: (input) => step((ports) => recordSignal(ports, input)),
    remindOfChangeReview: (input) => step((ports) => remind(ports, input)),
    holdCab: (input) => step((ports) => holdCab(ports, input)),
  };
}

interface Asked {
  readonly ports: ChangePorts;
  readonly recorded: RecordedChange;
}

/**
 * It runs by the word of somebody who may say so, once everybody signed exactly this off, in its window, and unless it
 * is an emergency after it stood on an agenda. One that began is only gone on with.
 */
async function begin({ ports, recorded }: Asked, statement: string): Promise<BegunChange> {
  const { proposal, change, event } = recorded;
  const { kind, name } = proposal;
  const { canary } = change;
  const begun = event('begun');
  // Its own word again: somebody ended its workflow. Nothing that is under way, or not reviewed, may be left at that.
  const isFinished = event('ended') && (kind !== 'emergency_change' || event('review'));
  if (begun && !isFinished && (begun.data.statement ?? '') === statement) {
    const by = begun.actor ?? 'somebody who was erased';
    return { effect: 'begun', kind, name, by, canary, back: wayBack(recorded) };
  }
  if (event('ended')) throw new AtbError('change_finished', 'the change has ended; propose it anew');
  const receivedAt = ports.clock();
  const said = await judgedWord(ports, recorded, { statement, receivedAt, step: 'run' });
  if (!begun) {
    await requireSignedOff(ports, recorded);
    requireInWindow(recorded, receivedAt);
    const plan = await ports.policy.changePlan();
    if (plan.cabRequired && proposal.kind === 'change' && !event('on_agenda')) {
      throw new AtbError('change_not_on_agenda', 'the change has not stood on the agenda of a CAB yet');
    }
    await ports.changes.append(
      changeEvent(ports, recorded, {
        ...{ type: 'change_begun', name: 'begun', time: receivedAt, actor: said.fact.by },
        personal: { '/actor': said.fact.by, '/data/statement': said.fact.by },
        data: {
          digest: proposalDigest(proposal),
          window_until: change.window.until,
          role: said.claims.role,
          jti: said.claims.jti,
          statement,
          statement_digest: sha256Base64url(statement),
          policy_revision: said.policyRevision,
        },
      }),
    );
  }
  return { effect: 'begun', kind, name, by: said.fact.by, canary, back: wayBack(recorded) };
}

/** Why a change that is gone on with goes back; null where it climbs, or has only its end to be recorded. */
function wayBack(recorded: RecordedChange): RollbackReason | null {
  const { event } = recorded;
  const back = event('rollback_begun');
  if (back) return rollbackReason(back.data.code);
  if (hasPassed(recorded)) return null;
  if (event('abort')) return 'change_aborted';
  return event('lost') ? 'change_workflow_lost' : null;
}

async function counted(
  { ports, recorded }: Asked,
  statement: string,
  step: 'abort' | 'review',
): Promise<CountedChangeWord> {
  const { proposal, event } = recorded;
  const isDue =
    step === 'abort'
      ? event('begun') && !event('ended')
      : event('begun') && event('ended') && proposal.kind === 'emergency_change' && !event('review');
  if (!isDue) throw new AtbError('change_not_due', `there is nothing to ${step} about this change now`);
  const receivedAt = ports.clock();
  const said = await judgedWord(ports, recorded, { statement, receivedAt, step });
  await ports.changes.append(
    changeEvent(ports, recorded, {
      ...{ type: 'change_word_recorded', name: step, time: receivedAt, actor: said.fact.by },
      personal: { '/actor': said.fact.by },
      data: {
        word: step,
        role: said.claims.role,
        jti: said.claims.jti,
        statement_digest: sha256Base64url(statement),
        policy_revision: said.policyRevision,
      },
    }),
  );
  return { effect: 'counted', by: said.fact.by };
}

/** What does not count is refused with its reason, and recorded where there is such a change. */
async function word<T>(
  ports: ChangePorts,
  { id, statement }: ChangeWordInput,
  take: (asked: Asked) => Promise<T>,
): Promise<T | Refused> {
  let recorded: RecordedChange | undefined;
  return refusable(
    async () => {
      recorded = await changeOf(ports, id);
      return take({ ports, recorded });
    },
    async (error) => {
      if (!recorded) return;
      const digest = sha256Base64url(statement);
      await ports.changes.append(
        changeEvent(ports, recorded, {
          ...{ type: 'change_word_refused', name: `refused/${digest.slice(0, 22)}/${error.code}` },
          reasons: error.reasons.length > 0 ? error.reasons : [error.code],
          data: { code: error.code, statement_digest: digest, policy_revision: ports.policy.revision },
        }),
      );
    },
  );
}

async function recordSignal(ports: ChangePorts, { id, run, position, signal }: ChangeSignal): Promise<void> {
  const { proposal } = await ports.proposals.recordOf(id);
  // Whoever can start workflows can start one of a change that nobody proposed.
  if (!proposal || !isChangeKind(proposal.kind)) return;
  await ports.changes.append(
    changeEvent(
      ports,
      { proposal: { ...proposal, kind: proposal.kind } },
      {
        ...{ type: 'change_signal_rejected', name: `signal_rejected/${run}/${position}` },
        reasons: ['verdict_malformed'],
        data: { signal: cutShort(signal, 256) },
      },
    ),
  );
}

/** Throws `change_outside_window`. */
export function requireInWindow({ change: { window } }: RecordedChange, at: Date): void {
  const now = epochSeconds(at);
  if (now >= window.from && now < window.until) return;
  const when = now < window.from ? 'has not begun' : 'is over';
  throw new AtbError('change_outside_window', `the window of the change ${when}`);
}

/** Believes no history: the end is the one that the log bears out, or there is none. */
async function end(
  ports: ChangePorts,
  { id, state }: { readonly id: string; readonly state: ChangeEnd },
): Promise<ChangeConclusion> {
  const recorded = await changeOf(ports, id);
  const { proposal, event } = recorded;
  const earlier = event('ended');
  if (state !== provenEnd(recorded)) {
    throw new AtbError('evidence_mismatch', `the audit log does not bear out that the change is ${state}`);
  }
  const at = earlier?.time ?? ports.clock();
  const percent = state === 'rolled_back' ? 0 : reachedPercent(recorded);
  const ended = changeEvent(ports, recorded, {
    ...{ type: 'change_ended', name: 'ended', time: at },
    data: { state, percent },
  });
  if (!earlier) await ports.changes.append(ended);
  const plan = await ports.policy.changePlan();
  await ports.notifier.notify({
    ...{ id: ended.id, kind: 'change', requestId: id },
    roles: state === 'rollback_failed' ? [...new Set([...plan.pagedRoles, ...plan.teams])] : plan.teams,
    facts: { name: proposal.name, state, percent },
    text: endInWords(recorded, state, percent),
  });
  const reviewed = proposal.kind !== 'emergency_change' || event('review') !== undefined;
  const waitingOn = [
    ...(state === 'rollback_failed' ? plan.pagedRoles : []),
    ...(reviewed ? [] : plan.reviewRoles),
  ];
  const reviewUntil = reviewed ? null : epochSeconds(at) + plan.reviewSeconds;
  return { state, reviewUntil, waitingOn: [...new Set(waitingOn)].sort() };
}

function provenEnd(recorded: RecordedChange): ChangeEnd | null {
  const { event } = recorded;
  const back = event('rolled_back');
  if (back) return back.type === 'change_rolled_back' ? 'rolled_back' : 'rollback_failed';
  return hasPassed(recorded) && !event('rollback_begun') ? 'completed' : null;
}

function endInWords({ proposal, event }: RecordedChange, state: ChangeEnd, percent: number): string {
  const what = `${proposal.kind.replaceAll('_', ' ')} ${proposal.name}`;
  const show = `atb change show ${proposal.id}`;
  switch (state) {
    case 'completed':
      return `${what} is complete: ${show}`;
    case 'rolled_back':
      return `${what} was rolled back (${codeOf(event('rollback_begun'))}): ${show}`;
    case 'rollback_failed':
      return `${what} stands at ${percent} percent and its rollback FAILED; nothing else is tried by itself. Act now: ${show}`;
  }
}

function codeOf(begun: AuditEvent | undefined): string {
  const code = begun?.data.code;
  return typeof code === 'string' ? code : 'for no recorded reason';
}

async function remind(
  ports: ChangePorts,
  { id, count }: { readonly id: string; readonly count: number },
): Promise<number> {
  const { proposal } = await changeOf(ports, id);
  const plan = await ports.policy.changePlan();
  await ports.notifier.notify({
    ...{ id: `${id}/change/review_wanted/${count}`, kind: 'change', requestId: id, roles: plan.reviewRoles },
    facts: { name: proposal.name },
    text: `emergency change ${proposal.name} waits for its review: atb change review ${id}`,
  });
  return epochSeconds(ports.clock()) + plan.reviewSeconds;
}

/**
 * The weekly CAB: its agenda is told to every team of the RACI matrix's row, and each change on it may run from then on
 * where everybody signed. Told once for each CAB, however often this is repeated.
 */
async function holdCab(ports: ChangePorts, { cab }: { readonly cab: string }): Promise<'held'> {
  const plan = await ports.policy.changePlan();
  const { agenda, unreadable } = await agendaOf(ports, plan);
  const lines: string[] = [...unreadable];
  for (const { open, recorded } of agenda) {
    if (open.state !== 'review' && !recorded.event('on_agenda')) {
      await ports.changes.append(
        changeEvent(ports, recorded, {
          ...{ type: 'change_on_agenda', name: 'on_agenda' },
          data: { digest: proposalDigest(recorded.proposal), cab },
        }),
      );
    }
    lines.push(await agendaLine(ports, open, recorded));
  }
  const reviews = agenda.filter(({ open }) => open.state === 'review').length;
  await ports.changes.append({
    ...{ id: `cab_held/${cab}`, type: 'cab_held', time: ports.clock(), requestId: null, actor: null },
    ...{ subject: null, action: null, tier: null, reasons: [] },
    data: { cab, changes: agenda.length - reviews, reviews },
  });
  if (lines.length > 0) await tellAgenda(ports, plan, cab, lines);
  return 'held';
}

interface AgendaItem {
  readonly open: OpenChange;
  readonly recorded: RecordedChange;
}

/** What nobody ran in its window ends first, however much of that there is: it crowds out nothing that is still to come. */
async function agendaOf(
  ports: ChangePorts,
  { teams }: ChangePlan,
): Promise<{ readonly agenda: readonly AgendaItem[]; readonly unreadable: readonly string[] }> {
  for (;;) {
    const agenda: AgendaItem[] = [];
    const unreadable: string[] = [];
    for (const open of await ports.changes.open(MOST_ON_AGENDA)) {
      // What is wrong with one change keeps no other from the CAB.
      const recorded = await orRefusal(() => changeOf(ports, open.id));
      if (recorded instanceof AtbError)
        unreadable.push(`- ${open.id}: it cannot be read (${recorded.message})`);
      else agenda.push({ open, recorded });
    }
    const now = epochSeconds(ports.clock());
    const missed = agenda.filter(
      ({ open, recorded }) => open.state !== 'review' && recorded.change.window.until <= now,
    );
    if (missed.length === 0) return { agenda, unreadable };
    for (const { recorded } of missed) await endUnrun(ports, teams, recorded);
  }
}

/** Told before it is recorded: what has ended is not open any more, and a repeat would not find it. */
async function endUnrun(
  ports: ChangePorts,
  teams: readonly string[],
  recorded: RecordedChange,
): Promise<void> {
  const { id, kind, name } = recorded.proposal;
  const ended = changeEvent(ports, recorded, {
    ...{ type: 'change_ended', name: 'ended' },
    data: { state: 'not_run', percent: 0 },
  });
  await ports.notifier.notify({
    ...{ id: ended.id, kind: 'change', requestId: id, roles: teams },
    facts: { name, state: 'not_run', percent: 0 },
    text: `${kind.replaceAll('_', ' ')} ${name} was not run in its window; propose it anew: atb change show ${id}`,
  });
  await ports.changes.append(ended);
}

async function agendaLine(
  ports: ChangePorts,
  { id, state }: OpenChange,
  { proposal, change: { window } }: RecordedChange,
): Promise<string> {
  if (state === 'review') return `- ${id}: an emergency that waits for its review`;
  const stands = await orRefusal(() => standing(ports, id));
  if (stands instanceof AtbError) {
    return `- ${id}: ${proposal.kind.replaceAll('_', ' ')}; as it stands nobody can sign it off or run it (${stands.message}): propose it anew`;
  }
  const { words, outstanding } = stands;
  const signed = words.map(({ step, role }) => `${step} (${role})`);
  const missing = outstanding.map(({ name }) => name);
  const from = fromEpochSeconds(window.from).toISOString().replace('.000Z', 'Z');
  const until = fromEpochSeconds(window.until).toISOString().replace('.000Z', 'Z');
  return [
    `- ${id}: ${proposal.kind.replaceAll('_', ' ')}, ${from} to ${until}`,
    `signed: ${signed.join(', ') || 'nobody'}`,
    `missing: ${missing.join(', ') || 'nobody'}`,
  ].join('; ');
}

async function tellAgenda(
  { notifier }: ChangePorts,
  { teams }: ChangePlan,
  cab: string,
  lines: readonly string[],
): Promise<void> {
  for (const team of teams) {
    await notifier.notify({
      ...{ id: `cab/${team}/${cab}`, kind: 'cab', requestId: '', roles: [team] },
      facts: { cab },
      text: [`agenda of the CAB of ${cab} (atb change show ID):`, ...lines].join('\n'),
    });
  }
}
