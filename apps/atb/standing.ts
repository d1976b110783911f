import { isJsonObject } from '../../domain/json';
import type { JsonObject } from '../../domain/json';
import { parseMoment } from './moment';

/** Where a request stands, as GET /requests/:id tells it. What a state does not have is undefined or empty. */
export interface Standing {
  readonly requestId: string;
  readonly state: string;
  readonly tier: string | undefined;
  readonly action: string | undefined;
  readonly agent: string | undefined;
  readonly ticket: string | undefined;
  readonly justification: string | undefined;
  readonly code: string | undefined;
  readonly reasons: readonly string[];
  readonly requirement: StandingRequirement;
  readonly outstanding: {
    readonly approvals: number | undefined;
    readonly attest: readonly string[];
    readonly release: boolean;
  };
  readonly waitingOn: readonly string[];
  readonly eligibleApprovers: readonly string[];
  readonly verdicts: readonly StandingVerdict[];
  /** What came of the agent's last requests; undefined where it is not told. */
  readonly agentRecent: readonly StandingRecent[] | undefined;
  /** Why the tier is higher than the catalogue's. */
  readonly tierReasons: readonly string[];
  readonly expiresAt: Date | undefined;
  readonly approvedUntil: Date | undefined;
  readonly interruption: string | undefined;
  readonly mandate: string | undefined;
  readonly jti: string | undefined;
  readonly pollIntervalSeconds: number;
  /** As it came: what is signed is judged by itself. */
  readonly toApprove: JsonObject | undefined;
  readonly document: JsonObject;
}

export interface StandingRequirement {
  readonly approvals: number | undefined;
  readonly roles: readonly string[];
  readonly releaseRoles: readonly string[];
  readonly nominated: readonly string[];
  readonly attest: readonly string[];
  /** Whether a verdict needs a reason in words. */
  readonly reason: boolean;
}

export interface StandingRecent {
  readonly action: string;
  readonly state: string;
  readonly requestedAt: Date | undefined;
}

export interface StandingVerdict {
  readonly jti: string | undefined;
  readonly by: string;
  readonly role: string;
  readonly verdict: string;
  readonly reason: string;
}

const POLL_INTERVAL_SECONDS = 2;

/** Reads an answer about a request; a newer AgentAuth may say more than we know. */
export function parseStanding(document: JsonObject): Standing {
  const requirement = object(document.requirement);
  const outstanding = object(document.outstanding);
  const interval = number(document.poll_interval_seconds);
  return {
    requestId: text(document.request_id) ?? '',
    state: text(document.state) ?? 'unknown',
    tier: text(document.tier),
    action: text(document.act),
    agent: text(document.agent) ?? text(document.sub),
    ticket: text(document.ticket),
    justification: text(document.justification),
    code: text(document.code),
    reasons: texts(document.reasons),
    requirement: {
      approvals: number(requirement.approvals),
      roles: texts(requirement.roles),
      releaseRoles: texts(requirement.release_roles),
      nominated: texts(requirement.nominated),
      attest: texts(requirement.attest),
      reason: requirement.reason === true,
    },
    outstanding: {
      approvals: number(outstanding.approvals),
      attest: texts(outstanding.attest),
      release: outstanding.release === true,
    },
    waitingOn: texts(document.waiting_on),
    eligibleApprovers: texts(document.eligible_approvers),
    verdicts: list(document.verdicts).map((entry) => ({
      jti: text(entry.jti),
      by: text(entry.by) ?? '',
      role: text(entry.role) ?? '',
      verdict: text(entry.verdict) ?? '',
      reason: text(entry.reason) ?? '',
    })),
    agentRecent:
      document.agent_recent === undefined
        ? undefined
        : list(document.agent_recent).map((entry) => ({
            action: text(entry.act) ?? 'unknown',
            state: text(entry.state) ?? 'unknown',
            requestedAt: parseMoment(entry.requested_at),
          })),
    tierReasons: texts(document.tier_reasons),
    expiresAt: parseMoment(document.expires_at),
    approvedUntil: parseMoment(document.approved_until),
    interruption: text(object(document.interruption).code),
    mandate: text(document.mandate),
    jti: text(document.jti),
    pollIntervalSeconds: interval !== undefined && interval > 0 ? interval : POLL_INTERVAL_SECONDS,
    toApprove: isJsonObject(document.to_approve) ? document.to_approve : undefined,
    document,
  };
}

/** True when waiting any longer changes nothing. */
export function isOver({ state }: Standing): boolean {
  return state !== 'pending';
}

/** A list of objects; other things in it are left out. */
export function list(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}

function object(value: unknown): JsonObject {
  return isJsonObject(value) ? value : {};
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}
