import type { RouteTable } from '../../adapters/connector/route-table';
import type { Credentials } from '../../adapters/credential/credentials';
import { NeverConnected } from '../../adapters/upstream/received-answer';
import type { UpstreamAnswer } from '../../adapters/upstream/received-answer';
import type { Upstream } from '../../adapters/upstream/upstream';
import type { AuditEvent, AuditEventType } from '../../domain/audit-event';
import type { Connector } from '../../domain/connector';
import { AtbError, isAtbError, isRetryable } from '../../domain/error';
import type { JsonObject } from '../../domain/json';
import type { ReversalClaims } from '../../domain/mandate';
import type { Clock } from '../../domain/ports';
import type { RedemptionStore, StandingOrders } from '../../domain/redemption';
import type { OwedReversal, ReversalStore } from '../../domain/owed-reversal';
import { persistently } from './persistently';
import { checkPolicy } from './checks/policy';
import type { PolicyPorts } from './checks/policy';
import { reportsFailure, reversingCall } from './checks/reversal';
import type { ReversingCall } from './checks/reversal';
import { checkRevocation, stopped } from './checks/revocation';
import type { Register } from './connector-register';
import { upstreamHeaders } from './headers';
import type { Permission } from './redemption';

export interface ReversalPorts extends PolicyPorts {
  readonly clock: Clock;
  readonly owed: ReversalStore;
  readonly used: Pick<RedemptionStore, 'claim'>;
  /** Form, type, signature, issuer, audience and time of a reversal mandate. */
  readonly verify: (compact: string, now: Date) => Promise<ReversalClaims>;
  /** The broker's own SPIFFE ID, as its SVID says: the one subject of reversal mandates. */
  readonly self: () => string;
  readonly connectors: ReadonlyMap<string, RouteTable>;
  readonly register: Register;
  readonly orders: StandingOrders;
  readonly upstreams: ReadonlyMap<string, Upstream>;
  readonly credentials: Credentials;
  readonly pace: ReversalPace;
  readonly onDefect: (error: unknown) => void;
}

/** How long things take; all of it fits well into what policy's `reversal.json` gives a reversal to live. */
export interface ReversalPace {
  /** What the system has for its answer, where its connector does not give it less. */
  readonly callSeconds: number;
  /** Before what came to nothing is tried again. */
  readonly againAfterSeconds: number;
  /** After a reversal has lapsed unasked: the call with its mandate may still be under way until then. */
  readonly undecidedAfterSeconds: number;
}

const LOOK_EVERY_MS = 1_000;
// The lease outlives the call, so that no two brokers are at one.
const LEASE_MARGIN_SECONDS = 5;
// RFC 6585 §4: nothing was done.
const TOO_MANY_REQUESTS = 429;
const WRITE_AGAIN_AFTER_MS = [100, 1_000, 3_000];

/**
 * The one who redeems reversal mandates. That one is owed is written before the agent hears of the failure; from then on
 * some broker does it, with the mandate's `jti` as Idempotency-Key, until the system answers or the mandate lapses. It is
 * sent again, also after a crash, only where it is known that the system did nothing, or where the connector says that the
 * system honours the key. Anything else is for people, by `poa_reversal_failed`.
 */
export class Reversals {
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | undefined;

  constructor(private readonly ports: ReversalPorts) {}

  start(): void {
    this.timer = setInterval(() => void this.look(), LOOK_EVERY_MS);
    void this.look();
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.looking;
  }

  /**
   * Owes the reversal where this answer reports a failure after commitment. Throws `audit_unavailable` where that cannot
   * be written: the outcome of the call says so, and people are told of it when the reversal has lapsed.
   */
  async oweIfReported({ mandate, connector, traceId }: Permission, answer: UpstreamAnswer): Promise<void> {
    const report = connector.failureAfterCommitment;
    if (!mandate?.rev || report === null || !reportsFailure(report, answer)) return;
    const { jti, rev, req: requestId, sub: agent, tier } = mandate;
    const pair: Pair = { jti: rev.jti, reverses: jti, requestId, agent, tier, action: rev.act };
    const told = { connector: connector.id, status: answer.statusCode };
    const due = { ...this.eventOf(pair, 'poa_reversal_due', ['failed_after_commitment'], told), traceId };
    await persistently(WRITE_AGAIN_AFTER_MS, () => this.ports.owed.owe(jti, connector.id, due));
    void this.look();
  }

  /** Takes up what is owed; one look at a time. */
  private look(): Promise<void> {
    this.looking ??= this.lookOnce()
      .catch((error: unknown) => {
        // A store that is away is told by readiness, and what is owed waits in it.
        if (!isAtbError(error) || !isRetryable(error.code)) this.ports.onDefect(error);
      })
      .finally(() => {
        this.looking = undefined;
      });
    return this.looking;
  }

  private async lookOnce(): Promise<void> {
    const { owed, clock, pace } = this.ports;
    await Promise.all(
      (await owed.take(pace.callSeconds + LEASE_MARGIN_SECONDS)).map((reversal) => this.settle(reversal)),
    );
    const lapsed = await owed.undecided(new Date(clock().getTime() - pace.undecidedAfterSeconds * 1000));
    for (const { connector, ...pair } of lapsed) {
      const told = { connector, status: null, code: 'outcome_unknown' };
      const event = this.eventOf(
        { ...pair, tier: null, action: null },
        'poa_reversal_failed',
        ['outcome_unknown'],
        told,
      );
      await owed.end(pair.jti, event);
    }
  }

  /** Does one reversal and says how it ended, or leaves it for another try while it lives. */
  private async settle(owed: OwedReversal): Promise<void> {
    let pair: Pair = { ...owed, requestId: null, agent: null, tier: null, action: null };
    try {
      const { ports } = this;
      const claims = await ports.verify(owed.mandate, ports.clock());
      pair = pairOf(claims);
      const status = await this.reverse(owed, claims);
      const told = { connector: owed.connector, status };
      if (status >= 500 || status === TOO_MANY_REQUESTS) await this.leave(owed);
      else if (status < 300) await this.end(owed, this.eventOf(pair, 'poa_reversed', [], told));
      else {
        const failed = { ...told, code: 'upstream_failed' };
        await this.end(owed, this.eventOf(pair, 'poa_reversal_failed', ['upstream_failed'], failed));
      }
    } catch (error) {
      if (error instanceof OutcomeUnknown) {
        const unknown = { connector: owed.connector, status: error.status, code: 'outcome_unknown' };
        await this.end(owed, this.eventOf(pair, 'poa_reversal_failed', ['outcome_unknown'], unknown));
        return;
      }
      if (isForAnotherTry(error)) {
        await this.leave(owed);
        return;
      }
      const refused = error instanceof NeverConnected ? error.cause : error;
      const code = isAtbError(refused) ? refused.code : 'internal';
      if (code === 'internal') this.ports.onDefect(error);
      const reasons = isAtbError(refused) && refused.reasons.length > 0 ? refused.reasons : [code];
      const told = { connector: owed.connector, status: null, code };
      await this.end(owed, this.eventOf(pair, 'poa_reversal_failed', reasons, told));
    }
  }

  private leave({ jti }: OwedReversal): Promise<void> {
    return this.ports.owed.putBack(jti, this.ports.pace.againAfterSeconds);
  }

  private async end({ jti }: OwedReversal, event: AuditEvent): Promise<void> {
    await persistently(WRITE_AGAIN_AFTER_MS, () => this.ports.owed.end(jti, event));
  }

  /** Every check, the mark, the call. Answers the system's status; throws what refused it, or made it fail. */
  private async reverse(owed: OwedReversal, claims: ReversalClaims): Promise<number> {
    const { ports } = this;
    if (claims.sub !== ports.self()) {
      throw new AtbError('agent_mismatch', 'the reversal mandate is for another broker');
    }
    if (claims.jti !== owed.jti || claims.rev.jti !== owed.reverses) {
      throw new AtbError('mandate_invalid', 'the reversal mandate is not the one that is owed');
    }
    const table = ports.connectors.get(owed.connector);
    if (!table) throw new AtbError('connector_unknown', 'there is no such connector');
    const { connector } = table;
    const isRepeatable = connector.idempotencyKey === 'honoured';
    if (owed.isSent && !isRepeatable) throw new OutcomeUnknown(null);
    ports.register.require(connector);
    const call = reversingCall(claims, table);
    checkRevocation(ports.orders, {
      ...{ jti: claims.jti, requestId: claims.req, agent: claims.sub },
      ...{ connector: connector.id, tier: claims.tier },
    });
    const decision = await checkPolicy(
      { ...ports, policy: ports.policy.snapshot(claims.req) },
      {
        ...{ agent: claims.rev.sub, mandate: claims, connector, route: call.route },
        ...{ params: claims.con.params, now: ports.clock() },
      },
    );
    const credentials = await ports.credentials.headers(connector.credentials);
    await this.mark(claims, connector, call, decision.policyRevision);
    const upstream = ports.upstreams.get(connector.id);
    if (!upstream) throw new NeverConnected('there is no upstream');
    const headers = new Map([...call.headers, ['idempotency-key', claims.jti]]);
    if (!(await ports.owed.sending(claims.jti)) && !isRepeatable) throw new OutcomeUnknown(null);
    let status: number;
    try {
      const answer = await upstream.send({
        method: call.route.method,
        path: call.path,
        headers: upstreamHeaders(connector, call.route, headers, credentials),
        body: call.route.body === 'json' ? call.body : null,
        signal: AbortSignal.timeout(Math.min(connector.timeouts.totalMs, ports.pace.callSeconds * 1000)),
      });
      // Its status is all that counts.
      answer.discard();
      status = answer.statusCode;
    } catch (error) {
      if (error instanceof NeverConnected) await ports.owed.notSent(claims.jti);
      else if (!isRepeatable) throw new OutcomeUnknown(null, { cause: error });
      throw error;
    }
    if (status === TOO_MANY_REQUESTS) await ports.owed.notSent(claims.jti);
    else if (status >= 500 && !isRepeatable) throw new OutcomeUnknown(status);
    return status;
  }

  /** Used up, durably, before anything is sent. A repeat after a crash finds its own mark, and no other can be made. */
  private async mark(
    claims: ReversalClaims,
    connector: Connector,
    { route }: ReversingCall,
    policyRevision: string,
  ): Promise<void> {
    const { iss: issuer, jti, req: requestId, sub: agent, tier } = claims;
    const { origin, pathname } = connector.upstream.url;
    const redeemed = this.eventOf(pairOf(claims), 'poa_reversal_redeemed', [], {
      connector: connector.id,
      route: `${route.method} ${route.path}`,
      method: route.method,
      target: `${origin}${pathname.replace(/\/$/, '')}${route.path}`,
      caller: agent,
      policy_revision: policyRevision,
    });
    const at = this.ports.clock();
    const claim = { claimId: jti, issuer, jti, requestId, agent, connector: connector.id, tier, at };
    const marked = await this.ports.used.claim(claim, redeemed);
    if (marked === 'stopped') throw stopped('mandate, or something around it');
    if (marked === 'used') {
      throw new AtbError('poa_single_use_replay_blocked', 'the reversal mandate was used otherwise');
    }
  }

  private eventOf(
    { jti, reverses, requestId, agent, tier, action }: Pair,
    type: AuditEventType,
    reasons: readonly string[],
    data: JsonObject,
  ): AuditEvent {
    return {
      id: `reversal/${jti}/${type}`,
      type,
      time: this.ports.clock(),
      ...{ requestId, actor: this.ports.self(), subject: agent, action, tier, reasons },
      data: { jti, reverses, ...data },
    };
  }
}

/** The system may have taken it back, or not; sent again, it might do so twice. */
class OutcomeUnknown extends Error {
  override readonly name = 'OutcomeUnknown';

  constructor(
    /** What it answered; null where it gave no answer. */
    readonly status: number | null,
    options?: ErrorOptions,
  ) {
    super('whether it was reversed is not known', options);
  }
}

/** What every event of a reversal tells. */
interface Pair extends Pick<AuditEvent, 'requestId' | 'tier' | 'action'> {
  readonly jti: string;
  readonly reverses: string;
  /** Whose action is reversed. */
  readonly agent: string | null;
}

function pairOf({ jti, rev, req: requestId, act: action, tier }: ReversalClaims): Pair {
  return { jti, reverses: rev.jti, requestId, agent: rev.sub, tier, action };
}

/** Nobody refused it: something is away, or broke off, and the system knows a repeat by its Idempotency-Key. */
function isForAnotherTry(error: unknown): boolean {
  if (error instanceof NeverConnected) return !isAtbError(error.cause);
  if (isAtbError(error)) return isRetryable(error.code) || error.code === 'credential_unavailable';
  const { code, name } = error as { readonly code?: unknown; readonly name?: unknown };
  return name === 'TimeoutError' || (typeof code === 'string' && /^(?:UND_ERR_|E[A-Z]+$)/.test(code));
}
