import type { RequestEntry } from '../domain/ports';
import type { ActivityPorts } from './ports';

/** What became of the workflow of a request that has no end in the database. */
export type Loss =
  'workflow_terminated' | 'workflow_removed' | 'workflow_failed' | 'workflow_ended_unrecorded';

/**
 * Ends a request whose workflow will not: whoever terminates or deletes one runs no code of ours. Recorded once, and its
 * agent is told. False where a mandate was issued meanwhile.
 */
export async function closeLost(
  { ledger, clock, policy, notifier }: Pick<ActivityPorts, 'ledger' | 'clock' | 'policy' | 'notifier'>,
  { requestId, subject }: Pick<RequestEntry, 'requestId' | 'subject'>,
  loss: Loss,
): Promise<boolean> {
  const [requested] = await ledger.events({ requestId, type: 'poa_requested', limit: 1 });
  const action = requested?.action ?? null;
  const closed = await ledger.close(requestId, {
    id: `${requestId}/poa_cancelled`,
    type: 'poa_cancelled',
    time: clock(),
    requestId,
    actor: null,
    subject,
    action,
    tier: requested?.tier ?? null,
    reasons: [loss],
    data: { code: 'request_finished', policy_revision: policy.revision },
  });
  if (!closed) return false;
  await notifier.notify({
    id: `${requestId}/decided/cancelled`,
    kind: 'decided',
    requestId,
    roles: [],
    text: `${action ?? 'a request'} is cancelled`,
    facts: { agent: subject, state: 'cancelled', action },
  });
  return true;
}
