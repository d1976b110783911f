import type { AuditEventType } from '../domain/audit-event';
import { AtbError, isErrorCode } from '../domain/error';
import type { Tier } from '../domain/policy';
import type { StandingStop } from '../domain/ports';
import { LIFT_PATH, parseStopOrder, STOP_PATH } from '../domain/stop';
import type {
  LiftProposal,
  ListedStop,
  StopAnswer,
  StopDecision,
  StopListing,
  StopOrder,
  StopRequest,
} from '../domain/stop';
import { epochSeconds } from './assessment';
import { identify, identifyStatement, requireFresh } from './identity';
import type { ActivityPorts } from './ports';
import { orRefusal } from './failure';

/** An order, and the person of whom it is known that they signed it. */
export interface SignedOrder extends StopOrder {
  readonly operation: StopRequest['operation'];
  readonly by: string;
  /** Epoch seconds: when they said so. */
  readonly at: number;
  readonly jti: string;
  /** The incident that it contains. */
  readonly incident?: string;
}

/**
 * Stops an agent, a connector, a request, a tier or everything, or lifts that. Who may is policy's to say, and how many
 * have to want it lifted. The word of each is their own signed statement: nobody who can write to Temporal can stop or lift.
 */
export async function orderStop(ports: ActivityPorts, request: StopRequest): Promise<StopAnswer> {
  const order = await orRefusal(() => signedOrder(ports, request));
  if (order instanceof AtbError)
    return { done: false, code: order.code, message: order.message, reasons: [] };
  return carryOut(ports, order);
}

const MOST_LISTED = 1_000;

/** What is stopped, for people of the directory. Throws `not_allowed_to_stop` to everybody else. */
export async function listStops(
  ports: ActivityPorts,
  { evidence }: StopListing,
): Promise<readonly ListedStop[]> {
  const { spiffeId } = await identify(ports, evidence, null);
  const { known, kind } = await ports.policy.principal(spiffeId);
  if (!known || kind !== 'person') {
    throw new AtbError('not_allowed_to_stop', 'only people of the directory are told what is stopped');
  }
  return ports.stops.list(MOST_LISTED);
}

export function carryOut(ports: ActivityPorts, order: SignedOrder): Promise<StopAnswer> {
  return order.operation === 'stop' ? stop(ports, order) : lift(ports, order);
}

async function stop(ports: ActivityPorts, order: SignedOrder): Promise<StopAnswer> {
  const decision = await decide(ports, order, []);
  if (decision.effect !== 'allow') return refused(ports, order, decision);
  await ports.stops.stop(order.target, event(ports, 'poa_stopped', order));
  return { done: true, state: 'stopped' };
}

async function lift(ports: ActivityPorts, order: SignedOrder): Promise<StopAnswer> {
  const { target, by, at } = order;
  const before = await ports.stops.standing(target);
  if (!before) return { done: true, state: 'lifted' };
  // A word from before it was stopped is about an earlier stop, and may have been kept by somebody.
  if (at < epochSeconds(before.stoppedAt)) {
    return {
      ...{ done: false, code: 'signed_request_stale', reasons: [] },
      message: 'it was stopped again since this was signed; look again, and sign again',
    };
  }
  const first = await decide(ports, order, others(before, order));
  if (first.effect === 'deny') return refused(ports, order, first);
  await ports.stops.proposeLift(target, { by, at }, event(ports, 'poa_lift_proposed', order));
  // Now that ours is written: of two who say it at once, at least one sees both.
  const standing = await ports.stops.standing(target);
  if (!standing) return { done: true, state: 'lifted' };
  const decision = await decide(ports, order, others(standing, order));
  if (decision.effect === 'deny') return refused(ports, order, decision);
  if (decision.effect === 'wait') return { done: true, state: 'waiting' };
  await ports.stops.lift(target, standing.stoppedAt, event(ports, 'poa_stop_lifted', order));
  const all = await ports.stops.incidentsOf(target, standing.stoppedAt);
  const incidents = all.filter((id) => id !== order.incident);
  return { done: true, state: 'lifted', ...(incidents.length > 0 && { incidents }) };
}

function signedOrder(ports: ActivityPorts, { operation, statement }: StopRequest): SignedOrder {
  const now = ports.clock();
  const evidence = { kind: 'signed_request', statement, presentedAt: epochSeconds(now) } as const;
  const path = operation === 'stop' ? STOP_PATH : LIFT_PATH;
  const { caller, body } = identifyStatement(ports, evidence, path);
  requireFresh(caller, now);
  const { iat: at, jti } = ports.requests.open(statement).claims;
  return { ...parseStopOrder(body), operation, by: caller.spiffeId, at, jti };
}

function decide(
  ports: ActivityPorts,
  { operation, target, by: id }: SignedOrder,
  lifts: readonly LiftProposal[],
): Promise<StopDecision> {
  return ports.policy.stop({ operation, id, ...target, lifts, now: epochSeconds(ports.clock()) });
}

function others({ lifts }: StandingStop, own: SignedOrder): readonly LiftProposal[] {
  return lifts.filter(({ by }) => by !== own.by);
}

async function refused(
  ports: ActivityPorts,
  order: SignedOrder,
  { reasons }: StopDecision,
): Promise<StopAnswer> {
  await ports.stops.append({ ...event(ports, 'poa_stop_refused', order), reasons });
  const [reason = ''] = reasons;
  const code = isErrorCode(reason) ? reason : 'not_allowed_to_stop';
  const message =
    code === 'stop_is_final'
      ? 'this stop is not lifted by anybody'
      : `policy does not let you ${order.operation} this`;
  return { done: false, code, message, reasons };
}

function event(
  ports: ActivityPorts,
  type: AuditEventType,
  { target, reason, by, jti, incident }: SignedOrder,
) {
  const { scope, value } = target;
  return {
    id: `${type}/${jti}`,
    type,
    time: ports.clock(),
    requestId: scope === 'request' ? value : null,
    actor: by,
    subject: scope === 'agent' ? value : null,
    action: null,
    tier: null,
    reasons: [],
    personal: { '/actor': by, '/data/reason': by },
    data: { scope, value, reason, ...(incident !== undefined && { incident }) },
  };
}

/**
 * Throws `stopped` where this agent or this request may have no mandate now; answers the tiers of which nobody may have
 * one.
 */
export async function requireNotStopped(
  ports: ActivityPorts,
  use: Parameters<ActivityPorts['stops']['against']>[0],
): Promise<readonly string[]> {
  const stops = await ports.stops.against(use);
  const scope = stops.find((target) => target.scope !== 'tier')?.scope;
  if (scope !== undefined) throw stopped(scope === 'everything' ? 'everything is' : `the ${scope} was`);
  return stops.map(({ value }) => value);
}

export function tierStopped(tier: Tier): AtbError {
  return stopped(`the tier ${tier} was`);
}

function stopped(what: string): AtbError {
  return new AtbError('stopped', `${what} stopped: no mandate is issued`);
}
