import type { ActivityPorts } from './ports';

/** Somebody had a request's workflow run again: from an earlier point of its history, or anew under the same id. */
export interface WorkflowReset {
  readonly requestId: string;
  readonly how: 'reset' | 'started_again';
  /** The run that ended by it. */
  readonly run: string;
}

/** Recorded once for each run. It changes nothing: what was recorded stays so, and a request has one mandate. */
export async function recordReset(
  { ledger, clock }: Pick<ActivityPorts, 'ledger' | 'clock'>,
  { requestId, how, run }: WorkflowReset,
): Promise<void> {
  const [requested] = await ledger.events({ requestId, type: 'poa_requested', limit: 1 });
  // Nobody asked: what an insider starts under an id of their own is no request.
  if (!requested) return;
  const { subject, action, tier } = requested;
  await ledger.append({
    id: `${requestId}/poa_workflow_reset/${run}`,
    type: 'poa_workflow_reset',
    time: clock(),
    requestId,
    actor: null,
    ...{ subject, action, tier },
    reasons: [how],
    data: { run },
  });
}
