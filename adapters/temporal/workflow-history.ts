import { createHash } from 'node:crypto';
import type { Connection } from '@temporalio/client';
import type { temporal } from '@temporalio/proto';
import type { HistoryRun } from '../../domain/evidence';
import { AtbError } from '../../domain/error';

type History = temporal.api.history.v1.IHistory;

// gRPC status code.
const NOT_FOUND = 5;
// A request goes on in a new run now and then; never so often.
const MOST_RUNS = 1_000;
/** Temporal lets no run grow above 50 MB, and ours go on in a new one long before. */
export const MAX_HISTORY_BYTES = 64 * 1024 * 1024;

/** One run of a workflow, as Temporal keeps it: payloads sealed. */
export interface RecordedRun {
  readonly runId: string;
  readonly history: History;
}

/** All runs of a workflow, oldest first; none where Temporal has forgotten it. */
export async function recordedRuns(
  connection: Connection,
  namespace: string,
  workflowId: string,
): Promise<readonly RecordedRun[]> {
  const runs: RecordedRun[] = [];
  let runId = await lastRunOf(connection, namespace, workflowId);
  while (runId !== null && runs.length < MOST_RUNS) {
    const history = await historyOf(connection, namespace, { workflowId, runId });
    if (!history) break;
    runs.unshift({ runId, history });
    const started = history.events?.[0]?.workflowExecutionStartedEventAttributes;
    runId = started?.continuedExecutionRunId || null;
  }
  return runs;
}

async function lastRunOf(
  connection: Connection,
  namespace: string,
  workflowId: string,
): Promise<string | null> {
  return unlessForgotten(async () => {
    const execution = { workflowId };
    const { workflowExecutionInfo: info } = await connection.workflowService.describeWorkflowExecution({
      namespace,
      execution,
    });
    return info?.execution?.runId ?? null;
  });
}

/** What evidence keeps of a run. */
export async function historyRun({ runId, history }: RecordedRun): Promise<HistoryRun> {
  const bytes = (await historyMessage()).encode(history).finish();
  return {
    runId,
    events: history.events?.length ?? 0,
    digest: createHash('sha256').update(bytes).digest('base64url'),
  };
}

/** The histories one after the other, each in protobuf form after its length (a varint). */
export async function formatRuns(runs: readonly RecordedRun[]): Promise<Uint8Array> {
  const message = await historyMessage();
  return Buffer.concat(runs.map(({ history }) => message.encodeDelimited(history).finish()));
}

/** The digests of what `formatRuns` wrote. Throws `evidence_invalid`. */
export async function digestsOfRuns(content: Uint8Array): Promise<readonly string[]> {
  const message = await historyMessage();
  const runs: HistoryRun[] = [];
  try {
    for (let at = 0; at < content.length;) {
      if (runs.length === MOST_RUNS) throw new Error(`more than ${MOST_RUNS} runs`);
      const history = message.decodeDelimited(content.subarray(at));
      at += message.encodeDelimited(history).finish().length;
      runs.push(await historyRun({ runId: '', history }));
    }
  } catch (cause) {
    throw new AtbError('evidence_invalid', 'that is no history that atb evidence wrote', { cause });
  }
  return runs.map(({ digest }) => digest);
}

/** Loaded when it is needed: it is large, and most commands of `atb` never do. */
async function historyMessage() {
  const { default: proto } = await import('@temporalio/proto');
  return proto.temporal.api.history.v1.History;
}

async function historyOf(
  connection: Connection,
  namespace: string,
  execution: { readonly workflowId: string; readonly runId: string },
): Promise<History | null> {
  return unlessForgotten(async () => {
    const events: temporal.api.history.v1.IHistoryEvent[] = [];
    let nextPageToken: Uint8Array | undefined;
    do {
      const page = await connection.workflowService.getWorkflowExecutionHistory({
        namespace,
        execution,
        ...(nextPageToken && { nextPageToken }),
      });
      events.push(...(page.history?.events ?? []));
      nextPageToken = page.nextPageToken;
    } while (nextPageToken.length > 0);
    return { events };
  });
}

async function unlessForgotten<T>(ask: () => Promise<T>): Promise<T | null> {
  try {
    return await ask();
  } catch (error) {
    if ((error as { code?: unknown }).code === NOT_FOUND) return null;
    throw error;
  }
}
