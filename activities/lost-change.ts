import type { ChangePorts } from './change';
import { changeEvent, changeOf, reachedPercent } from './change-record';
import type { Loss } from './lost-request';

/** A run of a change's workflow that did not end by itself. */
export interface LostChangeRun {
  readonly id: string;
  readonly how: Loss | 'reset' | 'started_again';
  /** Null where Temporal has none any more. */
  readonly run: string | null;
}

/**
 * Records that somebody ended the workflow of a change, or had it run again from an earlier point, once for each run, and
 * pages those who hear of failed rollbacks with the state that it left. What is under way and was not reset is rolled back
 * from then on.
 */
export async function recordLostChange(ports: ChangePorts, { id, how, run }: LostChangeRun): Promise<void> {
  const recorded = await changeOf(ports, id);
  const { proposal, event } = recorded;
  // Nobody ran it: what an insider starts under its id is no change.
  if (!event('begun')) return;
  const percent = reachedPercent(recorded);
  const told = event('lost');
  if (told !== undefined && told.data.run === run && run !== null) return;
  const turn = run ?? ports.clock().toISOString();
  const isReset = how === 'reset';
  const lost = changeEvent(ports, recorded, {
    type: isReset ? 'change_workflow_reset' : 'change_workflow_lost',
    name: isReset ? `reset/${turn}` : told ? `lost/${turn}` : 'lost',
    reasons: [how],
    data: { percent, run },
  });
  await ports.changes.append(lost);
  if (event('ended')) return;
  const { pagedRoles } = await ports.policy.changePlan();
  const what = `${proposal.kind.replaceAll('_', ' ')} ${proposal.name}`;
  const then = isReset ? 'it goes on from what the log says' : 'it is rolled back by itself';
  await ports.notifier.notify({
    ...{ id: lost.id, kind: 'change', requestId: id, roles: pagedRoles },
    facts: { name: proposal.name, state: how, percent },
    text: `somebody ended or reset the workflow of ${what} at ${percent} percent (${how}); ${then}: atb change show ${id}`,
  });
}
