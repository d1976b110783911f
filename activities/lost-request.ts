import type { RequestEntry } from '../domain/ports';
import { closeRequest, noOnRecord, rejectedBy } from './closing';
import type { ActivityPorts } from './ports';

/** What became of the workflow of a request that has no end in the database. */
export type Loss =
  'workflow_terminated' | 'workflow_removed' | 'workflow_failed' | 'workflow_ended_unrecorded';

/**
 * Ends a request whose workflow will not: whoever terminates or deletes one runs no code of ours. Recorded once, and its
 * agent is told. It is rejected where somebody's no was recorded, else cancelled. False where a mandate was issued
 * meanwhile.
 */
export async function closeLost(
  ports: Pick<ActivityPorts, 'ledger' | 'clock' | 'policy' | 'notifier'>,
  { requestId, subject }: Pick<RequestEntry, 'requestId' | 'subject'>,
  loss: Loss,
): Promise<boolean> {
  const [requested] = await ports.ledger.events({ requestId, type: 'poa_requested', limit: 1 });
  const no = noOnRecord(await ports.ledger.recordOf(requestId));
  const lost = { state: 'cancelled', actor: null, code: 'request_finished', reasons: [loss] } as const;
  return closeRequest(ports, {
    request: { requestId, asked: { act: requested?.action ?? null } },
    ...{ agent: subject, tier: requested?.tier ?? null },
    ...(no ? rejectedBy(no) : lost),
  });
}
