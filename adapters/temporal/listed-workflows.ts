import type { WorkflowService } from '@temporalio/client';
import type { TypedSearchAttributes } from '@temporalio/common';
import { decodeTypedSearchAttributes } from '@temporalio/common/lib/converter/payload-search-attributes';
import type { temporal } from '@temporalio/proto';
import { isSealedFor } from './sealed-codec';

type Execution = temporal.api.workflow.v1.IWorkflowExecutionInfo;

/** A workflow as visibility lists it: it lags, and can be edited. */
export interface ListedWorkflow {
  readonly workflowId: string;
  readonly startedAt: Date;
  readonly attributes: TypedSearchAttributes;
}

/** Where to list: a client, or what has its service and knows its namespace. */
interface Listing {
  readonly workflowService: WorkflowService;
  readonly namespace: string;
  /** Temporal's List Filter. */
  readonly query: string;
  readonly pageSize: number;
}

/** What is listed, as it came, page after page. Needs no key: nothing sealed is opened. */
export async function* listedExecutions({ workflowService, ...asked }: Listing): AsyncGenerator<Execution> {
  let nextPageToken: Uint8Array = new Uint8Array();
  do {
    const page = await workflowService.listWorkflowExecutions({ ...asked, nextPageToken });
    yield* page.executions;
    nextPageToken = page.nextPageToken;
  } while (nextPageToken.length > 0);
}

/**
 * What is listed, but for workflows with a memo that nobody of ours wrote: `onForeign` is told of those. Memos are not
 * opened, so that none can keep the others from being listed.
 */
export async function* listedWorkflows(
  listing: Listing,
  onForeign: (workflowId: string) => void,
): AsyncGenerator<ListedWorkflow> {
  for await (const { execution, memo, startTime, searchAttributes } of listedExecutions(listing)) {
    const workflowId = execution?.workflowId ?? '';
    if (!Object.values(memo?.fields ?? {}).every((payload) => isSealedFor(payload, workflowId))) {
      onForeign(workflowId);
      continue;
    }
    yield {
      workflowId,
      startedAt: dateOf(startTime) ?? new Date(0),
      attributes: decodeTypedSearchAttributes(searchAttributes?.indexedFields),
    };
  }
}

export function dateOf(timestamp: Execution['startTime']): Date | null {
  if (timestamp?.seconds == null) return null;
  return new Date(Number(timestamp.seconds) * 1000 + Math.floor((timestamp.nanos ?? 0) / 1_000_000));
}
