import { rollbackReason } from '../domain/change';
import type { RollbackReason } from '../domain/change';
import { AtbError, isAtbError } from '../domain/error';
import type { AuditEvent, AuditEventType } from '../domain/audit-event';
import { isJsonObject } from '../domain/json';
import type { Json } from '../domain/json';
import type { ChangeHolds, ChangeTargets, HeldChange, Operations } from '../domain/ports';
import { proposalDigest } from '../domain/proposal-digest';
import { requireInWindow } from './change';
import { changeEvent, changeOf, reachedPercent, requireBegun, requireSignedOff } from './change-record';
import type { ChangeEventName, ChangeRecordPorts, RecordedChange } from './change-record';
import type { BehindAnother, ChangeExecution, ChangeStepInput, StepOutcome } from './change-types';
import { byCode, orRefusal } from './failure';
import { refusable } from './proposal';

/** What carries a change out. */
export type ExecutionPorts = ChangeRecordPorts & {
  readonly operations: Operations;
  readonly holds: ChangeHolds;
  readonly targets: ChangeTargets;
  /** Aborted where the step under way must stop. */
  readonly interrupted: () => AbortSignal;
};

/** One of the steps of a change, while nobody else works on it. */
interface Working extends ExecutionPorts {
  readonly held: HeldChange;
  readonly signal: AbortSignal;
}

/** The activities over their ports. */
export function createChangeExecution(all: ExecutionPorts): ChangeExecution {
  /** One step asks one revision of policy, from its first question to its last. */
  const step = <T>(work: (ports: ExecutionPorts) => Promise<T>): Promise<T> =>
    byCode(() => work({ ...all, policy: all.policy.snapshot() }));
  const alone = <T>(id: string, work: (ports: Working) => Promise<T>): Promise<T> =>
    step(async (ports) => {
      // Nobody stands in line for what was not proposed.
      await changeOf(ports, id);
      const interrupted = ports.interrupted();
      return ports.holds.holding(id, interrupted, (held) =>
        work({ ...ports, held, signal: AbortSignal.any([interrupted, held.lost]) }),
      );
    });
  return {
    prepareChange: ({ id }) =>
      step((ports) =>
        refusable(async () => {
          const recorded = await changeOf(ports, id);
          // Gone on with: what is not allowed any more brings it back, and does not keep it half.
          if (!recorded.event('begun')) await requireFeasible(ports, recorded);
          return { effect: 'prepared' } as const;
        }),
      ),
    applyChangeStep: (input) => alone(input.id, (ports) => apply(ports, input)),
    checkChangeStep: (input) => alone(input.id, (ports) => check(ports, input)),
    rollBackChange: (input) => alone(input.id, (ports) => rollBack(ports, input)),
  };
}

/** Throws where something that the change names is not allowed, or policy says that it does not wait for another. */
async function requireFeasible(
  { operations, targets, policy }: ExecutionPorts,
  { proposal, change }: RecordedChange,
): Promise<void> {
  operations.require(change);
  const { sameTarget } = await policy.changePlan();
  if (sameTarget === 'wait') return;
  const other = await targets.takenBy(operations.targets(change), proposal.id);
  if (other !== null)
    throw new AtbError('change_target_busy', `${other} changes the same, and has not ended`);
}

/**
 * Applies a canary step, once. What is about to be done is recorded before; where that was done and its outcome was
 * not, the process died in between: what may be repeated is, and anything else has failed.
 */
async function apply(ports: Working, { id, step }: ChangeStepInput): Promise<StepOutcome | BehindAnother> {
  const recorded = await changeOf(ports, id);
  const { change, event } = recorded;
  const canary = change.canary[step];
  if (!canary) throw new AtbError('change_not_due', 'the change has no such step');
  const earlier = event(`applied/${step}`);
  if (earlier) return outcomeOf(earlier);
  await requireBegun(ports, recorded);
  const { operation } = change.apply;
  const record = { step, percent: canary.percent, operation };
  const failed = (detail: string, reason: RollbackReason, outputDigest: string | null = null) =>
    settle(ports, recorded, {
      ...{ type: 'change_step_failed', name: `applied/${step}` },
      data: { ...record, code: reason, detail, output_digest: outputDigest },
    });
  const refusal = await refusalOf(ports, recorded, step);
  if (refusal) return failed(refusal.detail, refusal.reason);
  const behind = await ports.targets.take(id, ports.operations.targets(change));
  if (behind !== null) {
    const { sameTarget } = await ports.policy.changePlan();
    if (sameTarget === 'wait') return { behind };
    return failed(`${behind} changes the same, and has not ended`, 'change_target_busy');
  }
  const isAgain = event(`step_begun/${step}`) !== undefined;
  if (isAgain && !ports.operations.isRepeatable(change.apply)) {
    return failed('it was cut short, and may not be run twice', 'change_interrupted');
  }
  const { fence } = ports.held;
  await recordBegin(ports, recorded, {
    type: 'change_step_begun',
    name: isAgain ? `step_begun/${step}/${fence}` : `step_begun/${step}`,
    data: { ...record, fence },
  });
  const { good, detail, outputDigest } = await ports.operations.run(change.apply, {
    ...{ change: id, percent: canary.percent, fence, signal: ports.signal },
  });
  if (!good) return failed(detail, 'change_step_failed', outputDigest);
  return settle(ports, recorded, {
    ...{ type: 'change_step_applied', name: `applied/${step}` },
    data: { ...record, detail, output_digest: outputDigest },
  });
}

/** Why a step may not be applied now; the steps before it must have passed, whatever a history says. */
async function refusalOf(
  ports: ExecutionPorts,
  recorded: RecordedChange,
  step: number,
): Promise<{ readonly detail: string; readonly reason: RollbackReason } | null> {
  const { change, event } = recorded;
  if (event('abort') || event('rollback_begun')) {
    return { detail: 'it is being rolled back', reason: 'change_aborted' };
  }
  if (event('lost')) return { detail: 'somebody ended its workflow', reason: 'change_workflow_lost' };
  for (let before = 0; before < step; before += 1) {
    if (event(`checked/${before}`)?.type !== 'change_checked') {
      throw new AtbError('change_not_due', 'the step before this one has not passed its checks');
    }
  }
  const refusal = await orRefusal(async () => {
    requireInWindow(recorded, ports.clock());
    await requireSignedOff(ports, recorded);
    ports.operations.require(change);
  });
  if (!refusal) return null;
  const reason = refusal.code === 'change_outside_window' ? 'change_window_closed' : 'change_not_signed_off';
  return { detail: refusal.message, reason };
}

/** Asks every smoke test and SLO query once. What was said of a step is said of it for good. */
async function check(ports: Working, { id, step }: ChangeStepInput): Promise<StepOutcome> {
  const recorded = await changeOf(ports, id);
  const { change, event } = recorded;
  const canary = change.canary[step];
  const earlier = event(`checked/${step}`);
  if (earlier) return outcomeOf(earlier);
  if (!canary || event(`applied/${step}`)?.type !== 'change_step_applied') {
    throw new AtbError('change_not_due', 'the step was not applied');
  }
  await requireBegun(ports, recorded);
  const { percent } = canary;
  const checks: { readonly check: string; readonly good: boolean; readonly detail: string }[] = [];
  for (const name of change.checks) {
    const { good, detail } = await ports.operations.check(name, {
      ...{ change: id, percent, fence: ports.held.fence, signal: ports.signal },
    });
    checks.push({ check: name, good, detail });
  }
  const passed = checks.every(({ good }) => good);
  return settle(ports, recorded, {
    ...{ type: passed ? 'change_checked' : 'change_check_failed', name: `checked/${step}` },
    data: { step, percent, checks },
  });
}

/** Also after the window, and whether or not it is still signed off: back is where everybody knows the way. */
async function rollBack(
  ports: Working,
  { id, reason }: { readonly id: string; readonly reason: RollbackReason },
): Promise<StepOutcome> {
  const recorded = await changeOf(ports, id);
  const { change, event } = recorded;
  const earlier = event('rolled_back');
  if (earlier) return outcomeOf(earlier);
  if (!event('begun') || event('ended')) throw new AtbError('change_not_due', 'the change is not under way');
  const percent = reachedPercent(recorded);
  const { operation } = change.rollback;
  const { fence } = ports.held;
  await recordBegin(ports, recorded, {
    type: 'change_rollback_begun',
    name: event('rollback_begun') ? `rollback_begun/${fence}` : 'rollback_begun',
    data: { percent, code: reason, operation, fence },
  });
  const { good, detail, outputDigest } =
    percent === 0
      ? { good: true, detail: 'nothing had been applied', outputDigest: null }
      : await back(ports, recorded);
  return settle(ports, recorded, {
    ...{ type: good ? 'change_rolled_back' : 'change_rollback_failed', name: 'rolled_back' },
    data: { percent, operation, detail, output_digest: outputDigest },
  });
}

/** What is rolled back must be repeatable, so that a crash on the way is no reason to leave it half. */
async function back(ports: Working, { proposal, change, event }: RecordedChange) {
  // What was signed off stands in the log, which nobody can change.
  if (event('begun')?.data.digest !== proposalDigest(proposal)) {
    return { good: false, detail: 'it is not the change that was signed off', outputDigest: null };
  }
  try {
    ports.operations.require(change);
  } catch (error) {
    if (!isAtbError(error)) throw error;
    return { good: false, detail: error.message, outputDigest: null };
  }
  return ports.operations.run(change.rollback, {
    ...{ change: proposal.id, percent: 0, fence: ports.held.fence, signal: ports.signal },
  });
}

/** Nothing is done that was not recorded before, each time that it is done. */
async function recordBegin(
  ports: Working,
  recorded: RecordedChange,
  begin: Parameters<typeof changeEvent>[2],
): Promise<void> {
  const event = changeEvent(ports, recorded, begin);
  await ports.held.append(event);
  if (!(await ports.changes.eventsOf([event.id])).has(event.id)) throw notHeld();
}

function notHeld(): AtbError {
  return new AtbError(
    'operation_interrupted',
    'the change is not held any more: somebody else goes on with it',
  );
}

/** Records an outcome, and answers the one that stands: the first that was recorded. */
async function settle(
  ports: Working,
  recorded: RecordedChange,
  outcome: Parameters<typeof changeEvent>[2] & { readonly name: ChangeEventName },
): Promise<StepOutcome> {
  const event = changeEvent(ports, recorded, outcome);
  await ports.held.append(event);
  const stands = (await ports.changes.eventsOf([event.id])).get(event.id);
  if (!stands) throw notHeld();
  return outcomeOf(stands);
}

/** The words of an outcome that was recorded, and whether it went well. */
function outcomeOf({ type, data }: AuditEvent): StepOutcome {
  const { detail, code, checks } = data;
  const said = typeof detail === 'string' ? detail : checksInWords(checks);
  if (GOOD.includes(type)) return { good: true, detail: said, reason: null };
  const reason = type === 'change_check_failed' ? type : rollbackReason(code);
  return { good: false, detail: said, reason };
}

const GOOD: readonly AuditEventType[] = ['change_step_applied', 'change_checked', 'change_rolled_back'];

function checksInWords(checks: Json | undefined): string {
  const all = Array.isArray(checks) ? (checks as readonly Json[]).filter(isJsonObject) : [];
  const text = (value: Json | undefined) => (typeof value === 'string' ? value : '');
  return all.map(({ check: name, detail }) => `${text(name)}: ${text(detail)}`).join('; ');
}
