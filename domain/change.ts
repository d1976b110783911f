import { AtbError } from './error';
import type { ErrorCode } from './error';
import { isJsonObject } from './json';
import type { Json, JsonObject } from './json';
import { CHANGE_KINDS } from './proposal';
import type { ChangeKind, Proposed } from './proposal';
import { parseRfc3339 } from './rfc3339';
import type { WordAnswer } from './word-answer';

/** What is done, by its name in the allowlist of operations; the signed content names no program and no address. */
export interface ChangeAction {
  readonly operation: string;
  readonly parameters: Readonly<Record<string, string>>;
}

/** A share of the traffic, or of the machines, and how long it is watched before the checks are asked. */
export interface CanaryStep {
  readonly percent: number;
  readonly soakSeconds: number;
}

/** An RFC (operating model §7): what people sign off, and exactly what is carried out. */
export interface Change {
  readonly description: string;
  readonly risk: string;
  readonly rollbackPlan: string;
  /** Epoch seconds: no step is applied before or after. */
  readonly window: { readonly from: number; readonly until: number };
  readonly apply: ChangeAction;
  readonly rollback: ChangeAction;
  /** Ascending; the last one is 100 percent. */
  readonly canary: readonly CanaryStep[];
  /** Names of smoke tests and SLO queries that must pass after each step. */
  readonly checks: readonly string[];
}

/** The steps of words on a change that was signed off. */
export const CHANGE_STEPS = ['run', 'abort', 'review'] as const;
export type ChangeStep = (typeof CHANGE_STEPS)[number];

/** Why a change was rolled back, in our own words. */
const ROLLBACK_REASONS = [
  'change_step_failed',
  'change_check_failed',
  'change_aborted',
  'change_window_closed',
  'change_not_signed_off',
  'change_not_proven',
  'change_interrupted',
  'change_target_busy',
  'change_workflow_lost',
] as const;
export type RollbackReason = (typeof ROLLBACK_REASONS)[number];

/** One that was recorded. */
export function rollbackReason(code: unknown): RollbackReason {
  return ROLLBACK_REASONS.find((known) => known === code) ?? 'change_step_failed';
}

export type ChangeEnd = 'completed' | 'rolled_back' | 'rollback_failed';

/** What is under way about a change; docs/runbooks/ATBChangeStuck.md says what to do where one takes too long. */
export type ChangePhase = 'prepare' | 'in_line' | 'apply' | 'soak' | 'check' | 'roll_back' | 'review';

/** Where a change stands that was started. Times are epoch seconds. */
export interface ChangeStatus {
  /** The proposal's. */
  readonly id: string;
  readonly state: 'starting' | 'running' | 'rolling_back' | 'refused' | ChangeEnd;
  readonly kind: ChangeKind | null;
  readonly name: string | null;
  readonly startedAt: number;
  /** Who said that it runs now. */
  readonly by: string | null;
  /** The share that the change has reached. */
  readonly percent: number;
  /** What came of each step and each check, and of the rollback, in order. */
  readonly steps: readonly ChangeEntry[];
  /** Null where nothing is under way any more. */
  readonly phase: ChangePhase | null;
  /** The share that the step under way leads to; null where there is none. */
  readonly towards: number | null;
  /** Of the phase: when it began, and when it ends, where that is known. */
  readonly since: number;
  readonly until: number | null;
  /** The roles whose word is awaited, or whose hands where a rollback failed. */
  readonly waitingOn: readonly string[];
  /** What it waits for where something cannot be reached. */
  readonly waitsFor: ErrorCode | null;
  /** The change that changes the same, and is ahead of it; null where none is. */
  readonly behind: string | null;
  /** Until when an emergency change has to be reviewed; null where nobody has to. */
  readonly reviewUntil: number | null;
  readonly reviewedBy: string | null;
  readonly reasons: readonly string[];
}

export interface ChangeEntry {
  readonly at: number;
  readonly what: 'applied' | 'checked' | 'rolled_back';
  readonly percent: number;
  readonly good: boolean;
  readonly detail: string;
}

/** What came of a word on a change. */
export type ChangeAnswer = WordAnswer<ChangeStatus>;

/** When changes are looked at, and what has to come after an emergency (data: changes). */
export interface ChangePlan {
  /** In the hours of the policy's time zone. */
  readonly cab: {
    readonly weekday: string;
    readonly hour: number;
    readonly minute: number;
    readonly timeZone: string;
  };
  /** Whether a change that is no emergency runs only after it stood on an agenda. */
  readonly cabRequired: boolean;
  /** What becomes of a change while another changes the same: it waits for it, or does not run. */
  readonly sameTarget: 'wait' | 'refuse';
  /** How long an emergency change may wait for its review before people are reminded, again and again. */
  readonly reviewSeconds: number;
  /** Teams that are Responsible, Accountable, Consulted or Informed (RACI). */
  readonly teams: readonly string[];
  /** Who is paged where a rollback fails. */
  readonly pagedRoles: readonly string[];
  readonly reviewRoles: readonly string[];
}

const NAME = /^[a-z][a-z0-9_-]{0,62}$/;
const MOST_TEXT = 4_096;
const MOST_STEPS = 20;
const MOST_CHECKS = 20;
const MOST_PARAMETERS = 20;
const LONGEST_PARAMETER = 256;
const LONGEST_SOAK_SECONDS = 86_400;
const LONGEST_WINDOW_SECONDS = 14 * 86_400;

export function isChangeKind(kind: string): kind is ChangeKind {
  return (CHANGE_KINDS as readonly string[]).includes(kind);
}

/**
 * The content of a proposal of the kinds `change` and `emergency_change`; docs/changes.md has an example. Throws
 * `proposal_malformed`.
 */
export function parseChange({ content }: Pick<Proposed, 'content'>): Change {
  const members = only(content, 'its content', [
    ...['description', 'risk', 'rollback_plan', 'window', 'apply', 'rollback', 'canary', 'checks'],
  ]);
  return {
    description: textOf(members, 'description'),
    risk: textOf(members, 'risk'),
    rollbackPlan: textOf(members, 'rollback_plan'),
    window: windowOf(members.window),
    apply: actionOf(members.apply, 'apply'),
    rollback: actionOf(members.rollback, 'rollback'),
    canary: canaryOf(members.canary),
    checks: checksOf(members.checks),
  };
}

/** Reads an answer of `atb/change/plan`. Throws `policy_unavailable`. */
export function parseChangePlan(value: unknown): ChangePlan {
  const plan = isJsonObject(value) ? value : {};
  const { weekday, hour, minute, time_zone: timeZone } = isJsonObject(plan.cab) ? plan.cab : {};
  const { cab_required: cabRequired, same_target: sameTarget, review_seconds: reviewSeconds } = plan;
  const { teams, paged_roles: pagedRoles, review_roles: reviewRoles } = plan;
  if (
    typeof weekday !== 'string' ||
    typeof timeZone !== 'string' ||
    !isCount(hour) ||
    !isCount(minute) ||
    !isCount(reviewSeconds) ||
    typeof cabRequired !== 'boolean' ||
    (sameTarget !== 'wait' && sameTarget !== 'refuse') ||
    !isTexts(teams) ||
    !isTexts(pagedRoles) ||
    !isTexts(reviewRoles)
  ) {
    throw new AtbError('policy_unavailable', 'policy answered without a proper plan of changes');
  }
  return {
    cab: { weekday, hour, minute, timeZone },
    ...{ cabRequired, sameTarget, reviewSeconds, teams, pagedRoles, reviewRoles },
  };
}

function windowOf(value: Json | undefined): Change['window'] {
  const { from, until } = only(value, 'its window', ['from', 'until']);
  const window = { from: momentOf(from), until: momentOf(until) };
  if (window.until <= window.from) throw malformed('its window ends before it begins');
  if (window.until - window.from > LONGEST_WINDOW_SECONDS)
    throw malformed('its window is longer than 14 days');
  return window;
}

function momentOf(value: Json | undefined): number {
  const time = typeof value === 'string' ? parseRfc3339(value) : undefined;
  if (!time) throw malformed('its window is not from and until, as RFC 3339 writes them');
  return Math.floor(time.getTime() / 1000);
}

function actionOf(value: Json | undefined, name: string): ChangeAction {
  const { operation, parameters } = only(value, `its ${name}`, ['operation', 'parameters']);
  const entries = isJsonObject(parameters) ? Object.entries(parameters) : undefined;
  if (typeof operation !== 'string' || !NAME.test(operation))
    throw malformed(`its ${name} names no operation`);
  if (!entries || entries.length > MOST_PARAMETERS) throw malformed(`its ${name} has no parameters`);
  return {
    operation,
    parameters: Object.fromEntries(
      entries.map(([parameter, text]) => {
        if (!NAME.test(parameter) || typeof text !== 'string' || text.length > LONGEST_PARAMETER) {
          throw malformed(`a parameter of its ${name} is no text of up to ${LONGEST_PARAMETER} characters`);
        }
        return [parameter, text];
      }),
    ),
  };
}

function canaryOf(value: Json | undefined): readonly CanaryStep[] {
  const steps = Array.isArray(value) ? (value as readonly Json[]) : [];
  if (steps.length === 0 || steps.length > MOST_STEPS)
    throw malformed(`it has not 1 to ${MOST_STEPS} canary steps`);
  const canary = steps.map((step) => {
    const { percent, soak_seconds: soakSeconds } = only(step, 'a canary step', ['percent', 'soak_seconds']);
    if (!isCount(percent) || percent < 1 || percent > 100)
      throw malformed('a canary step is no percent from 1 to 100');
    if (!isCount(soakSeconds) || soakSeconds > LONGEST_SOAK_SECONDS)
      throw malformed('a canary step soaks too long');
    return { percent, soakSeconds };
  });
  const isAscending = canary.every(({ percent }, index) => percent > (canary[index - 1]?.percent ?? 0));
  if (!isAscending || canary.at(-1)?.percent !== 100)
    throw malformed('its canary steps do not climb to 100 percent');
  return canary;
}

function checksOf(value: Json | undefined): readonly string[] {
  const checks = Array.isArray(value) ? (value as readonly Json[]) : [];
  const names = checks.filter((name): name is string => typeof name === 'string' && NAME.test(name));
  if (names.length === 0 || names.length !== checks.length || names.length > MOST_CHECKS) {
    throw malformed(`it names not 1 to ${MOST_CHECKS} checks`);
  }
  return names;
}

function textOf(members: JsonObject, name: string): string {
  const text = members[name];
  if (typeof text !== 'string' || text.trim() === '' || text.length > MOST_TEXT) {
    throw malformed(`its ${name} is no text of 1 to ${MOST_TEXT} characters`);
  }
  return text;
}

function only(value: Json | undefined, what: string, names: readonly string[]): JsonObject {
  if (!isJsonObject(value)) throw malformed(`${what} is no object`);
  const more = Object.keys(value).find((name) => !names.includes(name));
  if (more !== undefined) throw malformed(`${what} has ${more}, which does not belong there`);
  return value;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}

function malformed(why: string): AtbError {
  return new AtbError('proposal_malformed', `the change is malformed: ${why}`);
}
