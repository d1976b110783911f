import type { IncomingHttpHeaders } from 'node:http';
import type { RouteMatch, RouteTable } from '../../adapters/connector/route-table';
import type { AuditEvent, AuditEventType } from '../../domain/audit-event';
import { cutShort } from '../../domain/foreign-text';
import type { Classification, Connector, Route } from '../../domain/connector';
import { AtbError, isAtbError } from '../../domain/error';
import type { ErrorCode } from '../../domain/error';
import type { Guardrail, GuardrailFinding, GuardrailSubject } from '../../domain/guardrail';
import { commitmentTo } from '../../domain/commitment';
import type { Json, JsonObject } from '../../domain/json';
import type { MandateClaims } from '../../domain/mandate';
import type { Tier } from '../../domain/policy';
import type { Clock, Svid, SvidValidator } from '../../domain/ports';
import type { Claim, RedemptionStore, StandingOrders } from '../../domain/redemption';
import { AnswerInspection } from './answer-inspection';
import type { Call } from './call';
import { randomId } from '../../adapters/random-id';
import { checkAction } from './checks/action';
import { checkBinding } from './checks/binding';
import { readBody } from './checks/body';
import { checkClientSvid } from './checks/client-svid';
import { checkFindings, findingsOf } from './checks/guardrails';
import type { CallPace } from './checks/pace';
import type { Register } from './connector-register';
import { checkProofOfPossession } from './checks/proof-of-possession';
import type { PossessionPorts } from './checks/proof-of-possession';
import { mandateMissing, presentedMandate } from './checks/mandate';
import type { MandateVerifier } from './checks/mandate';
import { carriedParameters, checkParameters } from './checks/parameters';
import { checkPolicy } from './checks/policy';
import type { PolicyPorts } from './checks/policy';
import { checkReversal } from './checks/reversal';
import { checkRevocation, stopped } from './checks/revocation';

/** All that a decision needs; nothing of it is a proxy's. */
export interface RedemptionPorts extends PolicyPorts, Pick<PossessionPorts, 'trustedProxies'> {
  readonly clock: Clock;
  readonly svids: SvidValidator;
  readonly mandates: MandateVerifier;
  /** By id. */
  readonly connectors: ReadonlyMap<string, RouteTable>;
  readonly register: Register;
  readonly orders: StandingOrders;
  readonly guardrails: readonly Guardrail[];
  /** What becomes of findings, where the connector does not say it. */
  readonly handling: (classification: Classification) => GuardrailSubject['handling'];
  readonly pace: CallPace;
  /** After the longest that a call may take: when its outcome is recorded at the latest. */
  readonly outcomeGraceMs: number;
  readonly store: RedemptionStore;
  /** Told what each check took, what came of each call, and where a refusal could not be recorded. */
  readonly watch: {
    /** `allowed`, or the code of the refusal. */
    decided(connector: string | null, outcome: string): void;
    checked(check: Check, milliseconds: number): void;
    unrecorded(event: AuditEvent, cause: unknown): void;
  };
}

/** The checks, in their order. */
export const CHECKS = [
  'client_svid',
  'mandate',
  'binding',
  'action',
  'parameters',
  'revocation',
  'policy',
  'guardrails',
  'single_use',
] as const;
export type Check = (typeof CHECKS)[number];

/** A call that every check let pass; not marked yet. */
export interface Assessed {
  readonly agent: string;
  /** Null for a low-risk call without a mandate. */
  readonly mandate: MandateClaims | null;
  readonly connector: Connector;
  readonly route: Route;
  readonly call: Call;
  readonly body: Uint8Array;
  readonly tier: Tier | null;
  /** What audit events tell of it. */
  readonly use: JsonObject;
  readonly traceId: string;
}

/** A call that may be made now, once: the mandate is marked used and the audit log knows. */
export interface Permission extends Assessed {
  readonly useId: string;
  readonly claim: Claim | null;
}

/** What came of it, for the second event. */
export interface RedemptionOutcome {
  readonly outcome: 'succeeded' | 'failed' | 'unknown';
  /** Null where the upstream gave no answer. */
  readonly status: number | null;
  readonly code: ErrorCode | null;
  readonly durationMs: number;
  readonly responseBytes: number;
  /** Base64url SHA-256 of what was handed on. */
  readonly responseDigest: string | null;
  /** What guardrails found in the answer, and let pass. */
  readonly findings: readonly GuardrailFinding[];
}

/** What is known of a call so far, for the event of its refusal and for the access log. */
export interface Known {
  isInjection: boolean;
  agent: string | null;
  mandate: MandateClaims | null;
  match: { readonly connector: Connector; readonly route: Route } | null;
  use: JsonObject;
  readonly traceId: string;
}

// A call can be made of findings; its record has an end.
const FINDINGS_TOLD = 32;
const REASONS_TOLD = 64;

/** Decides on calls with mandates: the same for our proxy, for other gateways and for tools. */
export class Redemptions {
  /** The refusals that have their event. */
  private readonly recorded = new WeakSet<Error>();

  constructor(private readonly ports: RedemptionPorts) {}

  /**
   * Every check, then the mark and its event, durably: from here on the mandate is used. Throws with the code of what
   * failed, after recording the refusal (attacks 39, 40).
   */
  async permit(call: Call, chain: readonly string[], known: Known): Promise<Permission> {
    try {
      const permission = await this.mark(await this.checked(call, chain, known));
      this.ports.watch.decided(call.connector, 'allowed');
      return permission;
    } catch (error) {
      await this.recordRefusal(known, error, call.connector);
      throw error;
    }
  }

  /** As permit, and marks nothing: for who only wants to know. Refusals are recorded all the same. */
  async assess(call: Call, chain: readonly string[], known: Known): Promise<Assessed> {
    try {
      return await this.checked(call, chain, known);
    } catch (error) {
      await this.recordRefusal(known, error, call.connector);
      throw error;
    }
  }

  /** Who is at the other end of a connection. Throws the 401 codes. */
  caller(chain: readonly string[]): string {
    return checkClientSvid(chain, this.ports.svids, this.ports.clock()).spiffeId;
  }

  /** Nothing of the call was sent: the mandate may be used once more. False where that happened before. */
  async giveBack(permission: Permission, code: ErrorCode): Promise<boolean> {
    const { claim } = permission;
    if (claim === null) return false;
    const event = this.eventOf(permission, 'poa_given_back', 'given_back', [code], { jti: claim.jti, code });
    return this.ports.store.giveBack(claim, event);
  }

  /** What made a call fail that was permitted: its outcome tells of it, and it is no refusal. */
  failed({ connector }: Permission, failure: AtbError): void {
    this.recorded.add(failure);
    this.ports.watch.decided(connector.id, failure.code);
  }

  /** The second event: what the system behind answered. */
  async recordOutcome(permission: Permission, outcome: RedemptionOutcome): Promise<void> {
    const reasons = outcome.code === null ? [] : [outcome.code];
    await this.ports.store.appendBeside(
      this.eventOf(permission, 'poa_redemption_outcome', 'outcome', reasons, {
        jti: permission.mandate?.jti ?? null,
        outcome: outcome.outcome,
        status: outcome.status,
        code: outcome.code,
        duration_ms: Math.round(outcome.durationMs),
        response_bytes: outcome.responseBytes,
        response_digest: null,
        ...(permission.mandate && salted(permission.mandate, 'response_digest', outcome.responseDigest)),
        ...told(outcome.findings),
      }),
    );
  }

  /** Looks at the answer, where its connector asks for it. Throws `answer_not_inspectable`. */
  inspectionOf({ connector }: Assessed, headers: IncomingHttpHeaders): AnswerInspection | null {
    if (!connector.guardrails.responses) return null;
    return new AnswerInspection(headers, this.ports.guardrails, this.handlingOf(connector));
  }

  /** Records that an answer was stopped, as a security event where it was for an injection. */
  async recordBlockedAnswer(permission: Permission, findings: readonly GuardrailFinding[]): Promise<void> {
    const reasons = [...new Set(findings.map(({ rule }) => rule))].slice(0, REASONS_TOLD);
    const jti = permission.mandate?.jti ?? null;
    const blocked = { ...permission.use, ...told(findings), code: 'guardrail_blocked', jti };
    await this.ports.store.append(
      this.eventOf(permission, 'guardrail_blocked', 'answer_blocked', reasons, blocked),
    );
    if (!findings.some(({ kind, confirmed }) => kind === 'injection' && confirmed)) return;
    const { use } = permission;
    await this.ports.store.append(
      this.eventOf(permission, 'security_event', 'answer_injection', reasons, securityEvent(use, 'answer')),
    );
  }

  /**
   * Records a call that was refused before it could be read as one, and whose it was, where that can be known. What was
   * recorded already is not told twice.
   */
  async recordUnreadable(error: AtbError, chain: readonly string[], known: Known): Promise<void> {
    if (this.recorded.has(error)) return;
    known.agent = this.callerOf(chain);
    await this.recordRefusal(known, error, null);
  }

  private callerOf(chain: readonly string[]): string | null {
    try {
      return this.caller(chain);
    } catch (error) {
      if (!isAtbError(error)) throw error;
      return null;
    }
  }

  private async checked(call: Call, chain: readonly string[], known: Known): Promise<Assessed> {
    const { ports } = this;
    const now = ports.clock();
    const svid = this.timed('client_svid', () => this.peerOf(call, chain, now));
    known.agent = svid?.spiffeId ?? null;

    const compact = presentedMandate(call.headers);
    const mandate = await this.timedAsync('mandate', () => this.mandateOf(compact, now));
    known.mandate = mandate;
    const agent = await this.timedAsync('binding', () => this.agentOf(call, svid, mandate, compact, now));
    known.agent = agent;
    if (call.expected && call.expected.subject !== agent) {
      throw new AtbError('agent_mismatch', 'the call is not one of the subject that was asked about');
    }

    const { connector, route, path, table } = this.timed('action', () => {
      const found = this.routeOf(call);
      known.match = found;
      known.use = useOf(found.connector, found.route, svid?.spiffeId ?? agent);
      if (mandate) checkAction(mandate, found.route);
      if (call.expected && call.expected.action !== found.route.action) {
        throw new AtbError(
          'mandate_action_mismatch',
          'the action that was asked about is not what the route does',
        );
      }
      return found;
    });

    const body = await call.body(connector.limits.requestBytes);
    const { content, params } = this.timed('parameters', () => {
      const read = readBody(route, call.headers, body);
      const carried = carriedParameters(route, {
        path,
        query: call.query,
        headers: call.headers,
        body: read,
      });
      if (mandate) checkParameters(mandate.con.params, carried, route);
      if (mandate) checkReversal(mandate, call, table);
      return { content: read, params: mandate ? mandate.con.params : carried };
    });
    if (mandate) known.use = { ...known.use, ...salted(mandate, 'params_digest', params) };
    if (mandate === null && !ports.allowUnmandatedLowRisk) {
      throw mandateMissing({ act: route.action, params });
    }

    this.timed('revocation', () => {
      checkRevocation(ports.orders, {
        jti: mandate?.jti ?? null,
        requestId: mandate?.req ?? null,
        agent,
        connector: connector.id,
        // Without a mandate only what is of low risk goes through.
        tier: mandate?.tier ?? 'low',
      });
    });

    // While a candidate decides a share, by the same policy as the request was (operating model §2.3).
    const policy = ports.policy.snapshot(mandate?.req);
    known.use = { ...known.use, policy_revision: policy.revision };
    const decision = await this.timedAsync('policy', () =>
      checkPolicy({ ...ports, policy }, { agent, mandate, connector, route, params, now }),
    );

    known.use = { ...known.use, policy_revision: decision.policyRevision };
    await this.timedAsync('guardrails', async () => {
      await ports.pace.check(agent, connector);
      const findings = await findingsOf(ports.guardrails, {
        path: call.path,
        query: call.query,
        headers: parameterHeaders(route, call.headers),
        body: content,
        handling: this.handlingOf(connector),
      });
      known.use = { ...known.use, ...told(findings) };
      known.isInjection = findings.some(({ kind, confirmed }) => kind === 'injection' && confirmed);
      checkFindings(findings, 'call');
    });
    const { use } = known;
    const tier = mandate?.tier ?? decision.tier;
    return { agent, mandate, connector, route, call, body, tier, use, traceId: known.traceId };
  }

  /** Null only where the call shows a mandate and a proof of possession instead: for agents behind what ends TLS. */
  private peerOf({ headers }: Call, chain: readonly string[], now: Date): Svid | null {
    if (chain.length === 0 && headers.has('authorization') && headers.has('dpop')) return null;
    return checkClientSvid(chain, this.ports.svids, now);
  }

  /** Whose call it is: the one at the other end of the connection, or the one whose key the mandate is bound to. */
  private async agentOf(
    call: Call,
    peer: Svid | null,
    mandate: MandateClaims | null,
    compact: string | null,
    now: Date,
  ): Promise<string> {
    const proof = call.headers.get('dpop');
    if (mandate && compact !== null && mandate.cnf.jkt !== undefined && proof !== undefined) {
      const { addressed } = call;
      await checkProofOfPossession(this.ports, { proof, mandate, compact, addressed, peer, now });
      return mandate.sub;
    }
    if (proof !== undefined) {
      throw new AtbError(
        'credentials_ambiguous',
        'a DPoP proof comes with a mandate that is bound to its key',
      );
    }
    if (peer === null) throw new AtbError('certificate_missing', 'this call needs an X.509-SVID');
    if (mandate) checkBinding(mandate, peer);
    return peer.spiffeId;
  }

  /** Null where there is none: what the call would need one for is known further on. */
  private async mandateOf(compact: string | null, now: Date): Promise<MandateClaims | null> {
    return compact === null ? null : this.ports.mandates.verify(compact, now);
  }

  private routeOf(call: Call): RouteMatch & { readonly connector: Connector; readonly table: RouteTable } {
    const table = this.ports.connectors.get(call.connector);
    if (!table) throw new AtbError('connector_unknown', 'there is no such connector');
    this.ports.register.require(table.connector);
    return { ...table.match(call.method, call.path), connector: table.connector, table };
  }

  private async mark(assessed: Assessed): Promise<Permission> {
    const { mandate, agent, connector } = assessed;
    const useId = randomId('base64url');
    if (mandate === null) {
      const permission: Permission = { ...assessed, useId, claim: null };
      await this.ports.store.append(
        this.eventOf(permission, 'poa_unmandated_low_risk', 'allowed', [], {
          ...assessed.use,
          ...this.outcomeBy(assessed),
        }),
      );
      return permission;
    }
    const now = this.ports.clock();
    // A body that comes slowly gains no time.
    this.ports.mandates.requireInTime(mandate, now);
    const claim: Claim = {
      claimId: useId,
      issuer: mandate.iss,
      jti: mandate.jti,
      requestId: mandate.req,
      agent,
      connector: connector.id,
      tier: mandate.tier,
      at: now,
    };
    const permission: Permission = { ...assessed, useId, claim };
    const event = this.eventOf(permission, 'poa_redeemed', 'redeemed', [], {
      jti: mandate.jti,
      ...assessed.use,
      ...this.outcomeBy(assessed),
    });
    const marked = await this.timedAsync('single_use', () => this.ports.store.claim(claim, event));
    if (marked === 'claimed') return permission;
    if (marked === 'used') {
      throw new AtbError('poa_single_use_replay_blocked', 'the mandate was used before: ask for a new one');
    }
    throw stopped('mandate, or something around it');
  }

  /** By when whoever watches may say that the outcome is missing; nothing where a gateway makes the call. */
  private outcomeBy({ call, connector }: Assessed): JsonObject {
    if (call.answeredElsewhere) return {};
    const { clock, outcomeGraceMs } = this.ports;
    const latest = clock().getTime() + connector.timeouts.totalMs + outcomeGraceMs;
    return { outcome_by: Math.ceil(latest / 1000) };
  }

  private eventOf(
    { useId, agent, mandate, route, tier, traceId }: Permission,
    type: AuditEventType,
    fact: string,
    reasons: readonly string[],
    data: JsonObject,
  ): AuditEvent {
    return {
      id: `redemption/${useId}/${fact}`,
      type,
      time: this.ports.clock(),
      requestId: mandate?.req ?? null,
      actor: agent,
      subject: agent,
      action: route.action,
      tier,
      reasons,
      traceId,
      data,
    };
  }

  /** A refusal stands whether or not it could be recorded; that it could not is told to who watches. */
  private async recordRefusal(known: Known, error: unknown, connector: string | null): Promise<void> {
    if (error instanceof Error) this.recorded.add(error);
    const code = isAtbError(error) ? error.code : 'internal';
    this.ports.watch.decided(connector, code);
    const told = isAtbError(error) && error.reasons.length > 0 ? error.reasons : [code];
    const reasons = [...new Set(told)].slice(0, REASONS_TOLD);
    const event: AuditEvent = {
      id: `redemption/${randomId('base64url')}/refused`,
      type: refusalType(code),
      time: this.ports.clock(),
      requestId: known.mandate?.req ?? null,
      actor: known.agent,
      subject: known.mandate?.sub ?? known.agent,
      action: known.match?.route.action ?? null,
      tier: known.mandate?.tier ?? null,
      reasons,
      traceId: known.traceId,
      data: { ...known.use, code, jti: known.mandate?.jti ?? null },
    };
    await this.appendOrTell(event);
    if (!known.isInjection) return;
    await this.appendOrTell({
      ...event,
      id: `${event.id}/security_event`,
      type: 'security_event',
      data: securityEvent(known.use, 'call'),
    });
  }

  private async appendOrTell(event: AuditEvent): Promise<void> {
    try {
      // Once more where it failed: the same event again changes nothing, and a refusal unrecorded is a hole (attack 40).
      await this.ports.store.append(event).catch(() => this.ports.store.append(event));
    } catch (cause) {
      this.ports.watch.unrecorded(event, cause);
    }
  }

  private handlingOf({ classification, guardrails }: Connector): GuardrailSubject['handling'] {
    const usual = this.ports.handling(classification);
    return {
      secrets: guardrails.secrets ?? usual.secrets,
      personalData: guardrails.personalData ?? usual.personalData,
    };
  }

  private timed<T>(check: Check, work: () => T): T {
    const startedAt = performance.now();
    const result = work();
    this.ports.watch.checked(check, performance.now() - startedAt);
    return result;
  }

  private async timedAsync<T>(check: Check, work: () => Promise<T>): Promise<T> {
    const startedAt = performance.now();
    const result = await work();
    this.ports.watch.checked(check, performance.now() - startedAt);
    return result;
  }
}

export function nothingKnown(traceId: string): Known {
  return { isInjection: false, agent: null, mandate: null, match: null, use: {}, traceId };
}

/** A digest of what may be about people, so that nobody can find it by trying who lacks the mandate's salt. */
function salted({ salt }: MandateClaims, name: string, value: Json): JsonObject {
  return salt === undefined || value === null
    ? {}
    : { [name]: commitmentTo({ salt, name: `/data/${name}`, value }) };
}

/** Findings as events tell them: a place is named by the call's own words. */
function told(findings: readonly GuardrailFinding[]): JsonObject {
  if (findings.length === 0) return {};
  const worstFirst = [...findings].sort((a, b) => b.score - a.score).slice(0, FINDINGS_TOLD);
  return {
    findings: worstFirst.map(({ rule, where, score }) => ({ rule, where: cutShort(where, 256), score })),
  };
}

/** Operating model §5: guardrails that block a confirmed prompt injection are a P1. */
function securityEvent({ connector, route }: JsonObject, direction: 'call' | 'answer'): JsonObject {
  return {
    trigger: 'guardrail_confirmed_injection',
    priority: 'P1',
    direction,
    connector: connector ?? null,
    route: route ?? null,
  };
}

function refusalType(code: ErrorCode): AuditEventType {
  if (code === 'poa_single_use_replay_blocked') return 'poa_single_use_replay_blocked';
  if (code === 'guardrail_blocked') return 'guardrail_blocked';
  return 'poa_redemption_refused';
}

/** Where it goes, without the values in it: audit events stay for years. The target is the one that is called (attack 43). */
function useOf(connector: Connector, route: Route, caller: string): JsonObject {
  const { origin, pathname } = connector.upstream.url;
  const base = pathname.replace(/\/$/, '');
  return {
    connector: connector.id,
    route: `${route.method} ${route.path}`,
    method: route.method,
    target: `${origin}${base}${route.path}`,
    caller,
  };
}

function parameterHeaders(route: Route, headers: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const places = [...Object.values(route.parameters).flat(), ...route.unchecked];
  const found = new Map<string, string>();
  for (const place of places) {
    const value = place.in === 'header' ? headers.get(place.name) : undefined;
    if (place.in === 'header' && value !== undefined) found.set(place.name, value);
  }
  return found;
}
