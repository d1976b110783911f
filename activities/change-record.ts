import type { AuditEvent, AuditEventType } from '../domain/audit-event';
import { isChangeKind, parseChange } from '../domain/change';
import type { Change, ChangeStep } from '../domain/change';
import { AtbError } from '../domain/error';
import type { Changes, Clock, ProposalEntry } from '../domain/ports';
import type { ChangeKind } from '../domain/proposal';
import { epochSeconds } from './assessment';
import { denied, notCounted, requireOn, standing, verify } from './proposal';
import type { JudgingPorts, VerifiedWord } from './proposal';

/** All that is needed to know what of a change was recorded, and whether it is still signed off. */
export type ChangeRecordPorts = JudgingPorts & { readonly changes: Changes };

/** A change, as it was proposed, with what the audit log tells of it. */
export interface RecordedChange {
  readonly proposal: ProposalEntry & { readonly kind: ChangeKind };
  readonly change: Change;
  /** Under the first id of an event that was recorded; two outcomes of one thing share one. */
  readonly event: (what: ChangeEventName) => AuditEvent | undefined;
}

/** What is told of a change once: the last part of the event's id. */
export type ChangeEventName =
  | 'begun'
  | 'abort'
  | 'review'
  | 'rollback_begun'
  | 'rolled_back'
  | 'ended'
  | 'on_agenda'
  | 'lost'
  | `step_begun/${number}`
  | `applied/${number}`
  | `checked/${number}`;

/** What may be told more than once, by what tells each time from the others. */
type RepeatedEventName =
  | `signal_rejected/${string}/${number}`
  | `refused/${string}`
  | `reset/${string}`
  | `lost/${string}`
  | `step_begun/${number}/${number}`
  | `rollback_begun/${number}`;

/** Throws `change_unknown`, `proposal_malformed`. */
export async function changeOf(ports: ChangeRecordPorts, id: string): Promise<RecordedChange> {
  const { proposal } = await ports.proposals.recordOf(id);
  if (!proposal || !isChangeKind(proposal.kind)) {
    throw new AtbError('change_unknown', 'no such change was proposed');
  }
  const change = parseChange(proposal);
  const steps = change.canary.flatMap((_, step): ChangeEventName[] => [
    ...([`step_begun/${step}`, `applied/${step}`, `checked/${step}`] as const),
  ]);
  const names: ChangeEventName[] = [
    ...(['begun', 'abort', 'review', 'rollback_begun', 'rolled_back', 'ended', 'on_agenda', 'lost'] as const),
    ...steps,
  ];
  const events = await ports.changes.eventsOf(names.map((name) => eventId(id, name)));
  return {
    proposal: { ...proposal, kind: proposal.kind },
    change,
    event: (what) => events.get(eventId(id, what)),
  };
}

/** Throws `change_not_signed_off` unless everybody who has to has signed exactly this off, as policy is now. */
export async function requireSignedOff(
  ports: ChangeRecordPorts,
  { proposal }: RecordedChange,
): Promise<void> {
  const { end } = await ports.proposals.recordOf(proposal.id);
  if (end !== 'approved' || (await standing(ports, proposal.id)).effect !== 'approved') {
    throw new AtbError('change_not_signed_off', 'not everybody who has to has signed this change off');
  }
}

/** Verifies a word on a change as of its receipt, and asks policy whether it counts. Throws with the reason. */
export async function judgedWord(
  ports: ChangeRecordPorts,
  { proposal }: RecordedChange,
  {
    statement,
    receivedAt,
    step,
  }: { readonly statement: string; readonly receivedAt: Date; readonly step: ChangeStep },
): Promise<VerifiedWord & { readonly policyRevision: string }> {
  const proposing = verify(ports, proposal.statement, proposal.proposedAt);
  const word = verify(ports, statement, receivedAt);
  requireOn(word.claims, proposal.id, proposal);
  if (word.claims.step !== step || word.claims.verdict !== 'approve') {
    throw new AtbError('sign_off_step_unknown', `the word is none to ${step} a change`);
  }
  const decision = await ports.policy.signOff({
    kind: 'change_word',
    proposing: proposing.fact,
    words: [word.fact],
    suspended: await ports.probes.suspended(),
    schedule: null,
    now: epochSeconds(ports.clock()),
  });
  if (decision.effect === 'deny') throw denied(decision.reasons);
  const judgement = decision.words[word.claims.jti];
  if (!judgement?.counts) throw notCounted(judgement?.reasons ?? []);
  return { ...word, policyRevision: decision.policyRevision };
}

/** The word by which it runs, verified again. Throws `change_not_due` where nobody said so. */
export async function requireBegun(ports: ChangeRecordPorts, recorded: RecordedChange): Promise<void> {
  const begun = recorded.event('begun');
  const statement = begun?.data.statement;
  if (!begun || typeof statement !== 'string')
    throw new AtbError('change_not_due', 'the change has not begun');
  await judgedWord(ports, recorded, { statement, receivedAt: begun.time, step: 'run' });
  if (recorded.event('ended')) throw new AtbError('change_finished', 'the change has ended');
}

/** Whether every step was applied, and has passed its checks. */
export function hasPassed({ change, event }: RecordedChange): boolean {
  return change.canary.every((_, step) => event(`checked/${step}`)?.type === 'change_checked');
}

/** The share that a change has reached, or may have: a step that began counts. */
export function reachedPercent({ change, event }: RecordedChange): number {
  return change.canary.filter((_, step) => event(`step_begun/${step}`)).at(-1)?.percent ?? 0;
}

export function changeEvent(
  ports: { readonly clock: Clock },
  { proposal }: Pick<RecordedChange, 'proposal'>,
  {
    type,
    name,
    ...more
  }: Pick<AuditEvent, 'data'> &
    Partial<Pick<AuditEvent, 'actor' | 'personal' | 'time' | 'reasons'>> & {
      readonly type: AuditEventType & `change_${string}`;
      readonly name: ChangeEventName | RepeatedEventName;
    },
): AuditEvent {
  const { id, kind, name: called } = proposal;
  return {
    ...{ id: eventId(id, name), type, time: ports.clock(), requestId: null, actor: null },
    ...{ subject: null, action: null, tier: null, reasons: [] },
    ...more,
    data: { proposal: id, kind, name: called, ...more.data },
  };
}

function eventId(id: string, name: string): string {
  return `${id}/change/${name}`;
}
