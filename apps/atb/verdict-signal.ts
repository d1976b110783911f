import { setTimeout as sleep } from 'node:timers/promises';
import { sealedDataConverterFrom } from '../../adapters/temporal/data-converter';
import type { JsonObject } from '../../domain/json';
import { poaRequestWorkflowId, verdictSignal } from '../../workflows/contract';
import type { AgentAuthClient } from './agentauth-client';
import { EXIT } from './exit';
import type { ExitCode } from './exit';
import { standingInWords } from './presentation';
import { requestPath } from './session';
import type { Session } from './session';
import { parseStanding } from './standing';
import { codecKeysFile, withTemporal } from './temporal';

export interface SignedStatement {
  readonly requestId: string;
  readonly jti: string;
  /** Compact JWS. */
  readonly statement: string;
}

const SEEN_WITHIN_MS = 10_000;
const PAUSE_MS = 500;

/**
 * Sends a verdict straight to the workflow, sealed. A signal has no answer, so the request is looked at until the
 * verdict is among those that count; where it does not appear, it was refused or is not processed yet.
 */
export async function deliverByTemporal(
  session: Session,
  client: AgentAuthClient,
  { requestId, jti, statement }: SignedStatement,
): Promise<{ readonly exit: ExitCode; readonly document: JsonObject; readonly text: string }> {
  const dataConverter = await sealedDataConverterFrom(codecKeysFile(session));
  await withTemporal(session, async ({ connection, namespace }) => {
    const { Client: TemporalClient } = await import('@temporalio/client');
    const temporal = new TemporalClient({ connection, namespace, dataConverter });
    const workflow = temporal.workflow.getHandle(poaRequestWorkflowId(requestId));
    await workflow.signal(verdictSignal, { verdict: statement });
  });
  const deadline = Date.now() + SEEN_WITHIN_MS;
  for (;;) {
    const standing = parseStanding((await client.get(requestPath(requestId))).body);
    const counted = standing.verdicts.some((verdict) => verdict.jti === jti);
    if (counted || Date.now() >= deadline) {
      const answer = { document: standing.document, text: standingInWords(standing, session.now) };
      if (counted) return { exit: EXIT.done, ...answer };
      session.output.note('the signal was sent, and is not among the verdicts that count: see the audit log');
      return { exit: EXIT.timedOut, ...answer };
    }
    await sleep(PAUSE_MS);
  }
}
