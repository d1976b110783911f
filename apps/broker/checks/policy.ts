import { AtbError, isErrorCode } from '../../../domain/error';
import type { Connector, Route } from '../../../domain/connector';
import type { JsonObject } from '../../../domain/json';
import { LEG_CLAIMS_OF_APPROVAL } from '../../../domain/mandate';
import type { MandateClaims, ReversalClaims } from '../../../domain/mandate';
import type { PolicyEngine, TicketSystem } from '../../../domain/ports';
import type { RedemptionDecision } from '../../../domain/redemption';
import { mandateMissing } from './mandate';

export interface PolicyPorts {
  readonly policy: PolicyEngine;
  readonly tickets: TicketSystem;
  readonly allowUnmandatedLowRisk: boolean;
}

/** What policy is asked about. */
export interface LiveUse {
  readonly agent: string;
  /** Null where the call comes without one. */
  readonly mandate: MandateClaims | ReversalClaims | null;
  readonly connector: Connector;
  readonly route: Route;
  /** What the call really carries; for a mandate, what was approved, which is the same. */
  readonly params: JsonObject;
  readonly now: Date;
}

/**
 * Policy once more, with what is true now: agent, tier, connector, ticket, limits. Throws the reason's own code where
 * there is one reason and it has a code, else `policy_denied` with all of them.
 */
export async function checkPolicy(ports: PolicyPorts, use: LiveUse): Promise<RedemptionDecision> {
  const { agent, mandate, connector, route, params, now } = use;
  const ticket = mandate === null ? null : ticketOf(mandate);
  const decision = await ports.policy.redemption({
    question: {
      subject: { id: agent },
      action: { name: route.action },
      context: {
        params,
        limits: mandate?.con.limits ?? {},
        leg: mandate === null ? {} : askedLeg(mandate.leg),
        ticket,
        ticketFact: ticket === null ? null : await ports.tickets.lookUp(ticket),
        requiresDualControl: false,
        approvers: [],
        ttlSeconds: null,
        verdicts: [],
        climbed: [],
        now: Math.floor(now.getTime() / 1000),
        // The pair must still be one.
        ...(mandate?.rev && 'con' in mandate.rev && { reversal: true }),
      },
    },
    mandate: mandate && { tier: mandate.tier, reverses: reversedBy(mandate) },
    connector: {
      id: connector.id,
      state: connector.state,
      classification: connector.classification,
      digest: connector.digest,
    },
    method: route.method,
    allowUnmandatedLowRisk: ports.allowUnmandatedLowRisk,
  });
  if (decision.effect === 'allow') return decision;
  const { reasons } = decision;
  const [reason] = reasons;
  // Whoever could have come with a mandate is told that first.
  if (reasons.includes('mandate_missing')) throw mandateMissing({ act: route.action, params }, reasons);
  if (reasons.length === 1 && reason !== undefined && isErrorCode(reason)) {
    throw new AtbError(reason, 'policy does not allow this call now', { reasons });
  }
  throw new AtbError('policy_denied', 'policy does not allow this call now', { reasons });
}

/** The action that it reverses, where it is a reversal. */
function reversedBy({ rev }: MandateClaims | ReversalClaims): string | null {
  return rev && 'sub' in rev ? rev.act : null;
}

function ticketOf({ leg }: Pick<MandateClaims, 'leg'>): string | null {
  return typeof leg.ticket === 'string' ? leg.ticket : null;
}

/** The legal ground as the agent asked with it: the approvals in it are the issuer's, and not for policy to see as asked. */
function askedLeg(leg: JsonObject): JsonObject {
  const approval: readonly string[] = LEG_CLAIMS_OF_APPROVAL;
  return Object.fromEntries(Object.entries(leg).filter(([name]) => !approval.includes(name)));
}
