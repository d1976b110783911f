import { randomBytes } from 'node:crypto';
import { WorkflowFailedError } from '@temporalio/client';
import type { Client } from '@temporalio/client';
import { AtbError } from '../../domain/error';
import type { DeliveredPolicy, PolicyGate } from '../../domain/ports';
import { POLICY_ADMISSION, TASK_QUEUE } from '../../workflows/contract';
import { failureOf } from './temporal-calls';

// A worker that starts together with AgentAuth is waited for; what starts us tries again when there is none by then.
const ANSWERED_WITHIN_MS = 30_000;
// Each question is a workflow: what was refused is asked again this often, however often somebody looks.
const ASK_AGAIN_MS = 60_000;

/** The worker says which bundle may decide: AgentAuth has no database to ask. */
export function policiesOfWorker(client: Client, now: () => number = Date.now): PolicyGate {
  let refused: { readonly digest: string; readonly error: AtbError; readonly at: number } | undefined;
  return {
    async admit({ revision, digest }) {
      if (refused?.digest === digest && now() - refused.at < ASK_AGAIN_MS) throw refused.error;
      const error = await answerOf(client, { revision, digest });
      refused = error?.code === 'policy_not_approved' ? { digest, error, at: now() } : undefined;
      if (error) throw error;
    },
  };
}

/** Null where it may decide. */
async function answerOf(client: Client, delivered: DeliveredPolicy): Promise<AtbError | null> {
  try {
    await client.connection.withDeadline(Date.now() + ANSWERED_WITHIN_MS, () =>
      client.workflow.execute(POLICY_ADMISSION, {
        workflowId: `policy-admission/${randomBytes(16).toString('base64url')}`,
        taskQueue: TASK_QUEUE,
        args: [delivered],
        workflowExecutionTimeout: ANSWERED_WITHIN_MS,
      }),
    );
    return null;
  } catch (cause) {
    if (cause instanceof WorkflowFailedError) {
      const failure = failureOf(cause.cause, undefined);
      if (failure.code === 'policy_not_approved') return failure;
    }
    return new AtbError('worker_unavailable', 'no worker says whether the policy was approved', { cause });
  }
}
