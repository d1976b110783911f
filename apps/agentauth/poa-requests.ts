import { randomBytes } from 'node:crypto';
import type { Client, WorkflowHandle } from '@temporalio/client';
import {
  Connection,
  WorkflowClient,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowUpdateFailedError,
} from '@temporalio/client';
import { temporal } from '@temporalio/proto';
import { canonicalJson } from '../../domain/canonical-json';
import { sha256Base64url } from '../../domain/digest';
import { AtbError, isAtbError } from '../../domain/error';
import type { ReviewClosed, ReviewClosing, ReviewForCaller } from '../../domain/break-glass-review';
import type { Introspection, Revocation } from '../../domain/mandate-lifecycle';
import type { ListedStop, StopAnswer, StopRequest } from '../../domain/stop';
import type { AskedMandate, PoaRequest } from '../../domain/mandate-request';
import { policyInputOf } from '../../domain/policy';
import type { PolicyDecision } from '../../domain/policy';
import type { PolicyEngine } from '../../domain/ports';
import type { Recollection } from '../../domain/recollection';
import type { VelocityLimit, VelocityRoom } from '../../domain/velocity';
import type { TokenExchange, TokenExchangeRequest } from '../../domain/token-exchange';
import type { Answer, RequestStatus } from '../../domain/request-status';
import { parseSpiffeId } from '../../domain/spiffe-id';
import { goodTicket } from '../../domain/ticket';
import {
  ATB_ACTION,
  ATB_AGENT,
  ATB_POLICY_REVISION,
  ATB_STATE,
  ATB_TICKET,
  ATB_TIER,
  ATB_WAITING_ON,
  collectUpdate,
  decisionUpdate,
  INTROSPECTION,
  POA_REQUEST,
  poaRequestWorkflowId,
  requestIdOf,
  REVIEW_CLOSING,
  REVIEW_LISTING,
  STOP_LISTING,
  RECOLLECTION,
  REVOCATION,
  STOP,
  statusQuery,
  TASK_QUEUE,
  VELOCITY,
  TOKEN_EXCHANGE,
  verdictUpdate,
  withdrawUpdate,
} from '../../workflows/contract';
import type { PoaRequestWorkflow } from '../../workflows/contract';
import type { CallerIdentity } from './caller-identity';
import { lookedAt } from './looked-at';
import type { Candidate } from './looked-at';
import { requestIdFor } from './request-id';
import { failureOf, isCutShort, isGone, TemporalCalls } from './temporal-calls';

const REQUEST_ID = /^[A-Za-z0-9_-]{27,64}$/;
const UNIQUE_BYTES = 20;
const FIRST_POLL_MS = 100;
const SLOWEST_POLL_MS = 1_000;
// GET /approvals lists so many of those that wait (the default cap of all), and asks so many where they stand.
const APPROVALS_LISTED = 5_000;
const LISTED_AT_ONCE = 1_000;
const APPROVALS_SCANNED = 200;
const RECENT_SHOWN = 10;
const AGAIN_AFTER_MS = 200;
// Longer than a mandate takes that needs nobody: then the forecast was wrong, and people may have been asked.
const FORECAST_HOLDS_MS = 1_000;

type Handle = WorkflowHandle<PoaRequestWorkflow>;

/** An earlier request of an agent, as Temporal's search attributes tell it. */
export interface RecentRequest {
  readonly requestId: string;
  readonly act: string;
  readonly tier: string | null;
  readonly state: string;
  /** Epoch seconds. */
  readonly requestedAt: number;
}

/** AgentAuth's one way to Temporal. It starts, asks and passes on; it decides nothing. */
export class PoaRequests extends TemporalCalls {
  /** Whether the worker is in this process (the fast shape). */
  private readonly sharesWorker: boolean;
  /** Lets nobody ask a run that was terminated or failed: it would say for ever where it stood before. */
  private readonly workflows: WorkflowClient;

  constructor(
    client: Client,
    private readonly policy: PolicyEngine,
    decisionTimeoutMs: number,
  ) {
    super(client, decisionTimeoutMs, unknownRequest);
    this.workflows = new WorkflowClient({
      ...client.workflow.options,
      connection: client.connection,
      queryRejectCondition: 'NOT_COMPLETED_CLEANLY',
    });
    // An eager start needs the worker's own connection; asked for on any other, it fails.
    this.sharesWorker = !(client.connection instanceof Connection);
  }

  /** What policy would say now, of a request whose ticket is taken to be open: only the worker looks it up. */
  forecast(caller: CallerIdentity, asked: AskedMandate): Promise<PolicyDecision> {
    return this.policy.decide(
      policyInputOf(caller.spiffeId, asked, {
        ticketFact: asked.ticket === null ? null : goodTicket(asked.ticket),
        verdicts: [],
        climbed: [],
        now: Math.floor(Date.now() / 1000),
      }),
    );
  }

  /**
   * Starts a request, or joins the one that the same caller started with the same key and body, and answers as soon as
   * policy has decided. The forecast only chooses how to wait: for the end where nothing is required (the quickest
   * way), for the decision where people are. The policy that decides may be another: a candidate's share, or what the
   * worker has loaded and we have not.
   */
  async issue(
    caller: CallerIdentity,
    asked: AskedMandate,
    idempotencyKey: string | undefined,
  ): Promise<RequestStatus> {
    const requestId = requestIdFor(caller.spiffeId, idempotencyKey);
    const forecast = await this.forecast(caller, asked);
    const bodyDigest = sha256Base64url(canonicalJson(asked));
    const handle = await this.start(
      { requestId, asked, evidence: caller.evidence, forecast: forecast.effect },
      caller,
      forecast,
      bodyDigest,
    );
    try {
      return await this.within(this.decisionTimeoutMs, () =>
        forecast.effect === 'require' ? this.decided(handle) : this.ended(handle),
      );
    } catch (error) {
      throw await this.undecided(requestId, handle, error);
    }
  }

  /** Throws `request_unknown`, `worker_unavailable`, `temporal_unavailable`. */
  status(requestId: string): Promise<RequestStatus> {
    return this.reaching(() => this.handle(requestId).query(statusQuery), requestId);
  }

  /**
   * As `status`; of a request that Temporal has forgotten (its namespace's retention) where it ended, which the audit
   * log remembers. Throws `request_unknown` where neither knows it.
   */
  async standing(requestId: string): Promise<RequestStatus | Recollection> {
    if (!REQUEST_ID.test(requestId)) throw unknownRequest();
    const status = await this.unlessForgotten(() => this.status(requestId));
    if (status) return status;
    const recollection = await this.brief<Recollection | null>(RECOLLECTION, requestId);
    if (!recollection) throw unknownRequest();
    return recollection;
  }

  /** As `status`, but while people are awaited waits for a change for so long. */
  async changedStatus(requestId: string, waitSeconds: number, gone: () => boolean): Promise<RequestStatus> {
    const end = Date.now() + waitSeconds * 1000;
    const first = await this.status(requestId);
    let last = first;
    for (
      let pause = FIRST_POLL_MS;
      Date.now() + pause < end && !gone();
      pause = Math.min(pause * 1.5, SLOWEST_POLL_MS)
    ) {
      if (last.state !== 'pending' || canonicalJson(last) !== canonicalJson(first)) break;
      await new Promise((resolve) => setTimeout(resolve, pause));
      last = await this.status(requestId);
    }
    return last;
  }

  /** Whether this caller started the request: all that is known of one that was not assessed yet. */
  async startedBy(requestId: string, caller: CallerIdentity): Promise<boolean> {
    const description = await this.unlessForgotten(() =>
      this.reaching(() => this.handle(requestId).describe(), requestId),
    );
    return description?.typedSearchAttributes.get(ATB_AGENT) === caller.spiffeId;
  }

  collect(requestId: string, caller: CallerIdentity): Promise<Answer> {
    return this.update(requestId, (handle, updateId) =>
      handle.executeUpdate(collectUpdate, { updateId, args: [{ evidence: caller.evidence }] }),
    );
  }

  withdraw(requestId: string, caller: CallerIdentity): Promise<Answer> {
    return this.update(requestId, (handle, updateId) =>
      handle.executeUpdate(withdrawUpdate, { updateId, args: [{ evidence: caller.evidence }] }),
    );
  }

  submitVerdict(requestId: string, verdict: string): Promise<Answer> {
    return this.update(requestId, (handle, updateId) =>
      handle.executeUpdate(verdictUpdate, { updateId, args: [{ verdict }] }),
    );
  }

  /**
   * What waits for people, as far as one look goes: first what waits for one of these roles (`lookedAt`). The search
   * attributes only choose what is looked at; where a request stands is asked of each itself.
   */
  async waiting(roles: readonly string[]): Promise<readonly RequestStatus[]> {
    const candidates = await this.reaching(async () => {
      const found: Candidate[] = [];
      const query = `WorkflowType = '${POA_REQUEST}' AND AtbState = 'pending' AND ExecutionStatus = 'Running'`;
      for await (const { workflowId, attributes, startedAt } of this.found(query, LISTED_AT_ONCE)) {
        const requestId = requestIdOf(workflowId);
        if (requestId === undefined) continue;
        const waitingOn = attributes.get(ATB_WAITING_ON) ?? [];
        found.push({
          requestId,
          tier: attributes.get(ATB_TIER) ?? 'unknown',
          mine: waitingOn.some((role) => roles.includes(role)),
          since: startedAt.getTime(),
        });
        if (found.length === APPROVALS_LISTED) break;
      }
      return found;
    });
    return this.standings(lookedAt(candidates, APPROVALS_SCANNED), (id) => this.status(id));
  }

  /** How an agent's last requests ended, newest first, but for this one. For people to read: nothing depends on it. */
  async recentOf(agent: string, except: string): Promise<readonly RecentRequest[]> {
    const id = parseSpiffeId(agent).uri;
    return this.reaching(async () => {
      const recent: RecentRequest[] = [];
      const query = `WorkflowType = '${POA_REQUEST}' AND AtbAgent = '${id}'`;
      for await (const { workflowId, attributes, startedAt } of this.found(query, RECENT_SHOWN + 1)) {
        const requestId = requestIdOf(workflowId);
        if (requestId === undefined || requestId === except) continue;
        recent.push({
          requestId,
          act: attributes.get(ATB_ACTION) ?? 'unknown',
          tier: attributes.get(ATB_TIER) ?? null,
          state: attributes.get(ATB_STATE) ?? 'unknown',
          requestedAt: Math.floor(startedAt.getTime() / 1000),
        });
        if (recent.length === RECENT_SHOWN) break;
      }
      return recent;
    });
  }

  revoke(token: string, caller: CallerIdentity): Promise<Revocation> {
    return this.brief<Revocation>(REVOCATION, { token, evidence: caller.evidence });
  }

  /** Stops or lifts over the caller's signature. */
  order(request: StopRequest): Promise<StopAnswer> {
    return this.brief<StopAnswer>(STOP, request);
  }

  introspect(token: string, caller: CallerIdentity): Promise<Introspection> {
    return this.brief<Introspection>(INTROSPECTION, { token, evidence: caller.evidence });
  }

  stops(caller: CallerIdentity): Promise<readonly ListedStop[]> {
    return this.brief<readonly ListedStop[]>(STOP_LISTING, { evidence: caller.evidence });
  }

  reviews(caller: CallerIdentity): Promise<readonly ReviewForCaller[]> {
    return this.brief<readonly ReviewForCaller[]>(REVIEW_LISTING, { evidence: caller.evidence });
  }

  closeReview(closing: ReviewClosing): Promise<ReviewClosed> {
    return this.brief<ReviewClosed>(REVIEW_CLOSING, closing);
  }

  /** How the limits that a mandate would count towards stand now: only the worker's database knows. */
  room(limits: readonly VelocityLimit[]): Promise<readonly VelocityRoom[]> {
    return this.brief<readonly VelocityRoom[]>(VELOCITY, limits);
  }

  exchange(request: TokenExchangeRequest): Promise<TokenExchange> {
    return this.brief<TokenExchange>(TOKEN_EXCHANGE, request);
  }

  /** Whether a worker takes tasks from the queue. */
  async isReady(): Promise<boolean> {
    try {
      const answer = await this.within(2_000, () =>
        this.client.workflowService.describeTaskQueue({
          namespace: this.client.options.namespace,
          taskQueue: { name: TASK_QUEUE },
          taskQueueType: temporal.api.enums.v1.TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        }),
      );
      return answer.pollers.length > 0;
    } catch {
      // Not ready, whatever the reason: the probe asks nothing more.
      return false;
    }
  }

  private async start(
    request: PoaRequest,
    caller: CallerIdentity,
    forecast: PolicyDecision,
    bodyDigest: string,
  ): Promise<Handle> {
    const { requestId, asked } = request;
    const handle = this.handle(requestId);
    try {
      await this.within(this.decisionTimeoutMs, () =>
        this.client.workflow.start<PoaRequestWorkflow>(POA_REQUEST, {
          workflowId: poaRequestWorkflowId(requestId),
          taskQueue: TASK_QUEUE,
          args: [request],
          workflowIdReusePolicy: 'REJECT_DUPLICATE',
          requestEagerStart: this.sharesWorker,
          memo: { bodyDigest },
          staticSummary: `${forecast.tier ?? 'unknown'} · ${asked.act} · ${caller.spiffeId}`,
          typedSearchAttributes: [
            { key: ATB_ACTION, value: asked.act },
            { key: ATB_AGENT, value: caller.spiffeId },
            { key: ATB_STATE, value: 'pending' },
            { key: ATB_POLICY_REVISION, value: forecast.policyRevision },
            ...(forecast.tier === null ? [] : [{ key: ATB_TIER, value: forecast.tier }]),
            ...(asked.ticket === null ? [] : [{ key: ATB_TICKET, value: asked.ticket }]),
          ],
        }),
      );
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw this.outOfReach(error, requestId);
      const { memo } = await this.reaching(() => handle.describe(), requestId);
      if (memo?.bodyDigest !== bodyDigest) {
        throw new AtbError('idempotency_key_reused', 'this Idempotency-Key was used with another body', {
          requestId,
        });
      }
    }
    return handle;
  }

  /** Its end, or where that is long in coming its decision. */
  private async ended(handle: Handle): Promise<RequestStatus> {
    const end = handle.result();
    let timer: NodeJS.Timeout | undefined;
    const doubt = new Promise<null>((resolve) => {
      timer = setTimeout(resolve, FORECAST_HOLDS_MS, null);
    });
    const status = await Promise.race([end, doubt]).finally(() => {
      clearTimeout(timer);
    });
    if (status) return status;
    const decision = await Promise.race([end, this.decided(handle)]);
    // Interrupted before anything was decided: it may end in time yet, and else the caller is told what it waits for.
    return decision.state === 'pending' && !decision.assessed ? end : decision;
  }

  private async decided(handle: Handle): Promise<RequestStatus> {
    try {
      return await handle.executeUpdate(decisionUpdate);
    } catch (error) {
      // Over already: the forecast was wrong, or this is a repeat.
      if (isGone(error)) return handle.result();
      throw error;
    }
  }

  /** Why there is no decision yet. The request is accepted all the same, and its id says where to come back. */
  private async undecided(requestId: string, handle: Handle, error: unknown): Promise<AtbError> {
    if (error instanceof WorkflowFailedError) return failureOf(error.cause, requestId);
    const failure = this.outOfReach(error, requestId);
    if (failure.code !== 'worker_unavailable') return failure;
    try {
      const status = await this.within(2_000, () => handle.query(statusQuery));
      if (status.state === 'pending' && status.interruption) {
        const { code } = status.interruption;
        return new AtbError(code, 'the request is accepted and goes on by itself when this is back', {
          requestId,
        });
      }
    } catch (queryError) {
      return this.outOfReach(queryError, requestId);
    }
    return failure;
  }

  /**
   * A run may end under an update: its history is long and it goes on in a new one, or somebody resets it. Then the update
   * is sent again, under the same id.
   */
  private async update(
    requestId: string,
    call: (handle: Handle, updateId: string) => Promise<Answer>,
  ): Promise<Answer> {
    const handle = this.handle(requestId);
    const updateId = randomBytes(UNIQUE_BYTES).toString('base64url');
    const end = Date.now() + this.decisionTimeoutMs;
    while (Date.now() < end) {
      const answer = await this.answerOf(requestId, () =>
        this.within(this.decisionTimeoutMs, () => call(handle, updateId)),
      );
      if (answer !== 'ended under it' && (answer.done || answer.code !== 'worker_unavailable')) return answer;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_AFTER_MS));
    }
    throw new AtbError('worker_unavailable', 'the request goes on in a new run; try again', { requestId });
  }

  private async answerOf(requestId: string, call: () => Promise<Answer>): Promise<Answer | 'ended under it'> {
    try {
      return await call();
    } catch (error) {
      if (error instanceof WorkflowUpdateFailedError && !isCutShort(error)) {
        throw failureOf(error.cause, requestId);
      }
      if (!isGone(error) && !(error instanceof WorkflowUpdateFailedError))
        throw this.outOfReach(error, requestId);
    }
    const status = await this.standing(requestId);
    if (status.state === 'issued' && 'mandate' in status) return { done: true, status };
    if (status.state === 'pending' || status.state === 'approved') return 'ended under it';
    return {
      done: false,
      code: 'request_finished',
      message: `the request is ${status.state}`,
      reasons: 'reasons' in status ? status.reasons : [],
    };
  }

  private async brief<T>(type: string, request: object | string): Promise<T> {
    return this.reaching(() =>
      this.client.workflow.execute(type, {
        workflowId: `${type}/${randomBytes(UNIQUE_BYTES).toString('base64url')}`,
        taskQueue: TASK_QUEUE,
        args: [request],
        requestEagerStart: this.sharesWorker,
        // Nobody waits longer, and what was revoked by then is asked again.
        workflowExecutionTimeout: '1 hour',
      }),
    ) as Promise<T>;
  }

  private handle(requestId: string): Handle {
    if (!REQUEST_ID.test(requestId)) throw unknownRequest();
    return this.workflows.getHandle<PoaRequestWorkflow>(poaRequestWorkflowId(requestId));
  }

  private async unlessForgotten<T>(ask: () => Promise<T>): Promise<T | null> {
    try {
      return await ask();
    } catch (error) {
      if (isAtbError(error) && error.code === 'request_unknown') return null;
      throw error;
    }
  }
}

function unknownRequest(): AtbError {
  return new AtbError('request_unknown', 'there is no such request, or it is not yours to see');
}
