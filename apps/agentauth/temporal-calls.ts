import { Logger } from '@nestjs/common';
import type { Client, WorkflowUpdateFailedError } from '@temporalio/client';
import {
  isGrpcServiceError,
  QueryRejectedError,
  ServiceError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import type { ListedWorkflow } from '../../adapters/temporal/listed-workflows';
import { listedWorkflows } from '../../adapters/temporal/listed-workflows';
import { AtbError, isAtbError, isErrorCode, isRetryable } from '../../domain/error';
import { visible } from '../../domain/foreign-text';
import { TASK_QUEUE } from '../../workflows/contract';

// gRPC status codes.
const NOT_FOUND = 5;
const DEADLINE_EXCEEDED = 4;
const CANCELLED = 1;
const INVALID_ARGUMENT = 3;
const FAILED_PRECONDITION = 9;
const RESOURCE_EXHAUSTED = 8;
const LISTED = 500;
const ASKED_AT_ONCE = 20;

/** Calls to Temporal that always end, and whose failures are told in our words. */
export abstract class TemporalCalls {
  private readonly log = new Logger('Temporal');

  protected constructor(
    protected readonly client: Client,
    protected readonly decisionTimeoutMs: number,
    /** What to say of a workflow that is not there. */
    private readonly unknown: () => AtbError,
  ) {}

  /** Where each stands, the newest first, as far as one look goes; `idOf` reads an id from a workflow's. */
  protected async listed<Status>(
    query: string,
    idOf: (workflowId: string) => string | undefined,
    status: (id: string) => Promise<Status>,
  ): Promise<readonly Status[]> {
    const ids = await this.reaching(async () => {
      const found: string[] = [];
      for await (const { workflowId } of this.found(query, LISTED)) {
        const id = idOf(workflowId);
        if (id !== undefined) found.push(id);
        if (found.length === LISTED) break;
      }
      return found;
    });
    return this.standings(ids, status);
  }

  /** What visibility finds on our task queue; what has a memo of somebody else's is left out, and logged. */
  protected found(query: string, pageSize: number): AsyncGenerator<ListedWorkflow> {
    const { workflowService, options } = this.client;
    const ours = `${query} AND TaskQueue = '${TASK_QUEUE}'`;
    return listedWorkflows({ workflowService, namespace: options.namespace, query: ours, pageSize }, (id) => {
      this.log.warn(`${visible(id)} was not started by ATB: its memo is not sealed for it; it is left out`);
    });
  }

  /**
   * Asks each where it stands, in this order. One that cannot say, such as a workflow that somebody else started and that
   * never runs, is left out and logged: it must not keep the others from being listed.
   */
  protected async standings<Status>(
    ids: readonly string[],
    status: (id: string) => Promise<Status>,
  ): Promise<readonly Status[]> {
    const statuses: Status[] = [];
    for (let from = 0; from < ids.length; from += ASKED_AT_ONCE) {
      const some = ids.slice(from, from + ASKED_AT_ONCE);
      const told = await Promise.all(some.map((id) => this.unlessItsOwnFault(id, () => status(id))));
      for (const one of told) if (one !== undefined) statuses.push(one);
    }
    return statuses;
  }

  private async unlessItsOwnFault<T>(id: string, ask: () => Promise<T>): Promise<T | undefined> {
    try {
      return await ask();
    } catch (error) {
      if (!isAtbError(error)) throw error;
      // Not ready, or without such a query: of this workflow alone. Else whoever is asked cannot be reached at all.
      const code = grpcCodeOf(error.cause);
      const itsOwn = code === FAILED_PRECONDITION || code === INVALID_ARGUMENT || !isRetryable(error.code);
      if (!itsOwn) throw error;
      this.log.warn(`${visible(id)} does not say where it stands (${error.code}); it is left out`);
      return undefined;
    }
  }

  /** One call to Temporal, with an end, its failures in our words. */
  protected async reaching<T>(call: () => Promise<T>, requestId?: string): Promise<T> {
    try {
      return await this.within(this.decisionTimeoutMs, call);
    } catch (error) {
      if (isAtbError(error)) throw error;
      if (isGone(error)) throw this.unknown();
      if (error instanceof WorkflowFailedError) throw failureOf(error.cause, requestId);
      throw this.outOfReach(error, requestId);
    }
  }

  /** Every call to Temporal has an end, long polls included. */
  protected within<T>(ms: number, call: () => Promise<T>): Promise<T> {
    return this.client.connection.withDeadline(Date.now() + ms, call);
  }

  /** What a failure of a call to Temporal means to a caller. */
  protected outOfReach(error: unknown, requestId: string | undefined): AtbError {
    const options = { cause: error, ...(requestId !== undefined && { requestId }) };
    const code = grpcCodeOf(error);
    if (
      error instanceof WorkflowUpdateRPCTimeoutOrCancelledError ||
      code === DEADLINE_EXCEEDED ||
      code === CANCELLED
    ) {
      return new AtbError(
        'worker_unavailable',
        'nobody answered in time; what was accepted goes on by itself',
        options,
      );
    }
    if (code === RESOURCE_EXHAUSTED)
      return new AtbError('too_many_requests', 'too much at once; try again', options);
    if (error instanceof ServiceError || code !== undefined) {
      return new AtbError(
        'temporal_unavailable',
        'Temporal cannot be reached; try again with the same key',
        options,
      );
    }
    return new AtbError('internal', 'something went wrong on our side; it was logged', options);
  }
}

/** The error behind a workflow or an update that failed. */
export function failureOf(cause: unknown, requestId: string | undefined): AtbError {
  const options = { cause, ...(requestId !== undefined && { requestId }) };
  // A short workflow's step fails inside; its cause carries the code.
  const failure =
    cause instanceof ApplicationFailure ? cause : (cause as { cause?: unknown } | undefined)?.cause;
  if (failure instanceof ApplicationFailure && failure.type != null && isErrorCode(failure.type)) {
    return new AtbError(failure.type, failure.message, options);
  }
  return new AtbError('internal', 'something went wrong on our side; it was logged', options);
}

/** Whether a run ended, by a reset for example, before it answered an update that it had begun with. */
export function isCutShort({ cause }: WorkflowUpdateFailedError): boolean {
  return cause instanceof ApplicationFailure && cause.type === 'AcceptedUpdateCompletedWorkflow';
}

function grpcCodeOf(error: unknown): number | undefined {
  if (isGrpcServiceError(error)) return error.code;
  const { cause } = (error ?? {}) as { cause?: unknown };
  const code = (cause as { code?: unknown } | undefined)?.code;
  return typeof code === 'number' ? code : undefined;
}

/** Whether the workflow is over, or never was. */
export function isGone(error: unknown): boolean {
  return (
    error instanceof WorkflowNotFoundError ||
    error instanceof QueryRejectedError ||
    grpcCodeOf(error) === NOT_FOUND
  );
}
