import type { AuditEvent } from './audit-event';
import { AtbError } from './error';
import { isJsonObject } from './json';
import type { JsonObject } from './json';
import { policyInputJson, TIERS } from './policy';
import type { PolicyInput, Tier } from './policy';
import type { StopScope } from './stop';

/** What policy is asked once more when a mandate is redeemed: the question of issuance, on the request as it is. */
export interface RedemptionInput {
  readonly question: PolicyInput;
  /** Null where the call comes without a mandate. */
  readonly mandate: {
    readonly tier: Tier;
    /** Null but in a reversal. */ readonly reverses: string | null;
  } | null;
  readonly connector: {
    readonly id: string;
    readonly state: string;
    readonly classification: string;
    /** Of the definition, so that policy data can name the one that was reviewed (operating model §2.4). */
    readonly digest: string;
  };
  readonly method: string;
  /** ALLOW_UNMANDATED_LOW_RISK (operating model §3). */
  readonly allowUnmandatedLowRisk: boolean;
}

export interface RedemptionDecision {
  readonly effect: 'allow' | 'deny';
  /** As policy sees it now; null where the action is unknown. */
  readonly tier: Tier | null;
  readonly reasons: readonly string[];
  readonly policyRevision: string;
}

/** The input in the words of `policy/atb/redemption.rego`. */
export function redemptionInputJson(input: RedemptionInput, timeZone: string | null): JsonObject {
  return {
    ...policyInputJson(input.question, timeZone),
    mandate: input.mandate && { tier: input.mandate.tier, reverses: input.mandate.reverses },
    connector: { ...input.connector },
    method: input.method,
    allow_unmandated_low_risk: input.allowUnmandatedLowRisk,
  };
}

/** Reads an answer of `atb/redemption/decision`. Throws `policy_unavailable` where it is not of the form. */
export function parseRedemptionDecision(value: unknown): RedemptionDecision {
  const { effect, tier, reasons, policy_revision: policyRevision } = isJsonObject(value) ? value : {};
  const knownTier = TIERS.find((known) => known === tier) ?? null;
  if (
    (effect !== 'allow' && effect !== 'deny') ||
    !isTexts(reasons) ||
    typeof policyRevision !== 'string' ||
    // Allowed at no tier, or for a reason against it: not an answer of ours.
    (effect === 'allow' && (knownTier === null || reasons.length > 0))
  ) {
    throw new AtbError('policy_unavailable', 'policy answered without a proper redemption decision');
  }
  return { effect, tier: knownTier, reasons, policyRevision };
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

/** One use of a mandate: marked before anything is sent. */
export interface Claim {
  /** Of this use; drawn by the broker. */
  readonly claimId: string;
  readonly issuer: string;
  readonly jti: string;
  readonly requestId: string;
  readonly agent: string;
  readonly connector: string;
  readonly tier: Tier;
  readonly at: Date;
}

/**
 * Which mandates were used, for all brokers and for good, and the audit events of it. Throws `audit_unavailable`: what
 * cannot be marked is refused.
 */
export interface RedemptionStore {
  /** Marks the mandate used and records the event, both or neither. What was revoked or stopped is not marked. */
  claim(claim: Claim, event: AuditEvent): Promise<'claimed' | 'used' | 'stopped'>;
  /** Makes the mandate usable once more; false where it was given back before. */
  giveBack(claim: Claim, event: AuditEvent): Promise<boolean>;
  append(event: AuditEvent): Promise<void>;
  /** As append, for what no answer waits for: it may be written with what comes next. */
  appendBeside(event: AuditEvent): Promise<void>;
  /** Uses a proof of possession up, in whichever broker it is shown; false where it was used before. */
  useProof(proof: UsedProof): Promise<boolean>;
}

export interface UsedProof {
  /** What makes it one of its kind: its key and its id. */
  readonly key: string;
  readonly requestId: string;
  /** From then on its age alone refuses it. */
  readonly expiresAt: Date;
}

/** What speaks against a use now: the mandate or something around it was revoked or stopped. */
export interface StandingOrders {
  /** Throws `revocation_unavailable` where what it knows is too old. */
  against(use: {
    readonly jti: string | null;
    readonly requestId: string | null;
    readonly agent: string;
    readonly connector: string;
    readonly tier: Tier;
  }): { readonly what: 'mandate' | StopScope } | null;
}
