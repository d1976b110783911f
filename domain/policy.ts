import { AtbError, isErrorCode } from './error';
import type { Fault } from './error';
import { isJsonObject } from './json';
import type { Json, JsonObject } from './json';
import { localTimeJson } from './local-time';
import type { AskedMandate } from './mandate-request';
import type { ReversalTerms } from './reversal';
import type { VelocityLimit } from './velocity';
import { ticketFactJson } from './ticket';
import type { TicketFact } from './ticket';

/** The risk tiers of the operating model §3, lowest first. */
export const TIERS = ['low', 'medium', 'high', 'critical'] as const;
export type Tier = (typeof TIERS)[number];

/** The severities of the operating model §5. */
export const PRIORITIES = ['P1', 'P2', 'P3', 'P4'] as const;
export type Priority = (typeof PRIORITIES)[number];

/** A signature-verified verdict, as policy is told of it. Times are epoch seconds. */
export interface VerdictFact {
  readonly jti: string;
  readonly by: string;
  /** Base64url SHA-256 of the certificate that it was signed with. */
  readonly certificate: string;
  readonly verdict: 'approve' | 'reject' | 'release';
  readonly role: string;
  readonly attests: readonly string[];
  /** Whether it says why. Policy need not know the words. */
  readonly reasoned: boolean;
  readonly issuedAt: number;
  readonly receivedAt: number;
}

/** A rung of its escalation ladder that a request climbed, by the audit log. */
export interface ClimbedRung {
  /** 1 for the first. */
  readonly rung: number;
  /** How long after it was asked. */
  readonly waitedSeconds: number;
}

/** What policy is asked. It knows nothing else, the time included. */
export interface PolicyInput {
  readonly subject: { readonly id: string };
  readonly action: { readonly name: string };
  readonly context: {
    readonly params: JsonObject;
    readonly limits: JsonObject;
    readonly leg: JsonObject;
    readonly ticket: string | null;
    /** What the ticket system says right now; null where there is no such ticket. */
    readonly ticketFact: TicketFact | null;
    readonly requiresDualControl: boolean;
    readonly approvers: readonly string[];
    readonly ttlSeconds: number | null;
    /** Whether a reversal mandate is asked for beside it; absent where not. */
    readonly reversal?: true;
    /** In order of receipt. */
    readonly verdicts: readonly VerdictFact[];
    /** People whose verdicts count for nothing at the moment (SPIFFE IDs); absent where there are no verdicts. */
    readonly suspended?: readonly string[];
    readonly climbed: readonly ClimbedRung[];
    /** Epoch seconds. */
    readonly now: number;
  };
}

/** What is asked about a request, with what the worker found out by itself. */
export function policyInputOf(
  agent: string,
  asked: AskedMandate,
  found: Pick<PolicyInput['context'], 'ticketFact' | 'verdicts' | 'suspended' | 'climbed' | 'now'>,
): PolicyInput {
  return {
    subject: { id: agent },
    action: { name: asked.act },
    context: {
      params: asked.con.params,
      limits: asked.con.limits,
      leg: asked.leg,
      ticket: asked.ticket,
      requiresDualControl: asked.requiresDualControl,
      approvers: asked.approvers,
      ttlSeconds: asked.ttlSeconds,
      ...(asked.reversal && { reversal: true }),
      ...found,
    },
  };
}

/** What must be there before a mandate may be signed. */
export interface Requirement {
  readonly approvals: number;
  readonly roles: readonly string[];
  readonly dualControl: boolean;
  readonly nominated: readonly string[];
  readonly ticket: boolean;
  /** Empty where no manual release is demanded. */
  readonly releaseRoles: readonly string[];
  /** Facts that approvers must vouch for. */
  readonly attest: readonly string[];
  /** Whether the agent must sign the request itself. */
  readonly signedRequest: boolean;
  /** Whether whoever approves or releases must say why. */
  readonly reason: boolean;
}

/** The requirement in the words of audit events: whom the agent nominated is personal, and in what it asked for. */
export function requirementRecord(requirement: Requirement): JsonObject {
  return {
    approvals: requirement.approvals,
    roles: requirement.roles,
    dual_control: requirement.dualControl,
    ticket: requirement.ticket,
    release_roles: requirement.releaseRoles,
    attest: requirement.attest,
    signed_request: requirement.signedRequest,
    reason: requirement.reason,
  };
}

/** The other way round, of events; what an older one does not tell was not wanted. */
export function requirementOf(record: JsonObject, nominated: readonly string[]): Requirement {
  return requirement({ ...requirementRecord(NOTHING_REQUIRED), ...record, nominated });
}

const NOTHING_REQUIRED: Requirement = {
  approvals: 0,
  roles: [],
  dualControl: false,
  nominated: [],
  ticket: false,
  releaseRoles: [],
  attest: [],
  signedRequest: false,
  reason: false,
};

/** What of the requirement the verdicts in hand do not meet yet. */
export interface Outstanding {
  readonly approvals: number;
  readonly attest: readonly string[];
  readonly release: boolean;
}

export interface EscalationRung {
  readonly afterSeconds: number;
  readonly roles: readonly string[];
}

export interface VerdictJudgement {
  readonly counts: boolean;
  readonly reasons: readonly string[];
}

/** Why the tier is higher than the catalogue's. */
export interface TierRaise {
  readonly to: Tier;
  readonly reason: string;
  readonly detail: string;
}

/** How a team is reached (operating model §8). */
export interface TeamContact {
  readonly channel: string;
  readonly email: string;
}

/** How often an agent may ask after its request (OpenID CIBA Core §7.3, §11). */
export interface Polling {
  readonly intervalSeconds: number;
  /** By how much the interval grows for an agent that asked too often. */
  readonly slowDownSeconds: number;
}

/** How a request stands to break-glass: see `policy/atb/break_glass.rego`. */
export interface BreakGlass {
  /** True where people of that role approved in place of approvers, and nothing is signed without them. */
  readonly broken: boolean;
  /** Null where policy has no such role. */
  readonly role: string | null;
  /** The teams that are told, and one of which must review it (operating model §1). */
  readonly accountable: readonly string[];
  readonly reviewWithinSeconds: number;
}

interface Decided {
  readonly policyRevision: string;
  /** By `jti`. */
  readonly verdicts: Readonly<Record<string, VerdictJudgement>>;
  /** True when a counting verdict rejects. */
  readonly rejected: boolean;
  /** What is wrong with the request itself, with pointers into the body of POST /issue. */
  readonly faults: readonly Fault[];
  readonly raises: readonly TierRaise[];
  /** The rules that fired and the data that they read, for whoever wants to know why. */
  readonly rules: readonly string[];
  /** Parameters of the action that are not personal; any other is. None where an older policy does not say. */
  readonly publicParams: readonly string[];
}

/** Nothing speaks against the request; `issue` when nothing is outstanding either. */
export interface AllowingDecision extends Decided {
  readonly effect: 'issue' | 'require';
  readonly tier: Tier;
  readonly limits: JsonObject;
  readonly ttlSeconds: number;
  readonly requirement: Requirement;
  readonly outstanding: Outstanding;
  readonly waitingOn: readonly string[];
  readonly eligibleApprovers: readonly string[];
  readonly priority: Priority;
  readonly escalation: readonly EscalationRung[];
  /** Seconds after people were asked, rising. */
  readonly reminders: readonly number[];
  readonly expiresAfterSeconds: number;
  readonly collectWithinSeconds: number;
  readonly polling: Polling;
  /** The limits that this mandate counts towards. */
  readonly velocity: readonly VelocityLimit[];
  /** Facts of the requirement that the ticket proves. */
  readonly attestedByTicket: readonly string[];
  /** With how long its mandate lives; null where none is asked for. */
  readonly reversal: (ReversalTerms & { readonly ttlSeconds: number }) | null;
  /** Teams that must be told, and be asked, of such a mandate (operating model §1). */
  readonly informed: readonly string[];
  readonly consulted: readonly string[];
  /** Whom to call: the teams that are responsible or accountable. */
  readonly contacts: Readonly<Record<string, TeamContact>>;
  readonly breakGlass: BreakGlass;
}

export interface DenyingDecision extends Decided {
  readonly effect: 'deny';
  /** Null where the action is not in the catalogue. */
  readonly tier: Tier | null;
  readonly reasons: readonly string[];
}

export type PolicyDecision = AllowingDecision | DenyingDecision;

/** What the directory knows of a SPIFFE ID. */
export interface Principal {
  readonly known: boolean;
  readonly kind: 'agent' | 'person' | null;
  readonly roles: readonly string[];
  readonly team: string | null;
  /** Whether this person may revoke a mandate that is not their own. */
  readonly mayRevokeAny: boolean;
  /** Whether this person may erase what is known of a person (GDPR Art. 17). */
  readonly mayErase: boolean;
}

/** The input in the words of the Rego rules. `timeZone` is the policy's own (data: calendar). */
export function policyInputJson(
  { subject, action, context }: PolicyInput,
  timeZone: string | null,
): JsonObject {
  return {
    subject: { id: subject.id },
    action: { name: action.name },
    context: {
      params: context.params,
      limits: context.limits,
      leg: context.leg,
      ticket: context.ticket,
      ticket_fact: context.ticketFact && ticketFactJson(context.ticketFact),
      requires_dual_control: context.requiresDualControl,
      approvers: context.approvers,
      ttl_seconds: context.ttlSeconds,
      reversal: context.reversal ?? false,
      verdicts: context.verdicts.map((verdict) => ({
        jti: verdict.jti,
        by: verdict.by,
        certificate: verdict.certificate,
        verdict: verdict.verdict,
        role: verdict.role,
        attests: verdict.attests,
        reasoned: verdict.reasoned,
        issued_at: verdict.issuedAt,
        received_at: verdict.receivedAt,
        received_on: localTimeJson(verdict.receivedAt, timeZone)?.date ?? null,
      })),
      suspended: context.suspended ?? [],
      climbed: context.climbed.map(({ rung, waitedSeconds }) => ({ rung, waited_seconds: waitedSeconds })),
      now: context.now,
      time: localTimeJson(context.now, timeZone),
    },
  };
}

/** Reads a decision of `atb/poa/decision`. Throws `policy_unavailable` where it is not of the form: no guess is made. */
export function parsePolicyDecision(value: unknown): PolicyDecision {
  const decision = object(value, 'decision');
  const decided: Decided = {
    policyRevision: text(decision.policy_revision, 'policy_revision'),
    verdicts: Object.fromEntries(
      Object.entries(object(decision.verdicts ?? {}, 'verdicts')).map(([jti, judgement]) => {
        const { counts, reasons } = object(judgement, 'verdicts');
        return [jti, { counts: boolean(counts, 'counts'), reasons: texts(reasons, 'reasons') }];
      }),
    ),
    rejected: boolean(decision.rejected ?? false, 'rejected'),
    faults: list(decision.faults, 'faults').map((fault) => {
      const { pointer, code, detail } = object(fault, 'faults');
      if (typeof code !== 'string' || !isErrorCode(code)) return malformed('faults');
      return { pointer: text(pointer, 'faults'), code, detail: text(detail, 'faults') };
    }),
    raises: list(decision.raises, 'raises').map((raise) => {
      const { to, reason, detail } = object(raise, 'raises');
      return {
        to: oneOf(TIERS, to, 'raises'),
        reason: text(reason, 'raises'),
        detail: text(detail, 'raises'),
      };
    }),
    rules: texts(decision.rules, 'rules'),
    publicParams: texts(decision.public_params ?? [], 'public_params'),
  };
  const effect = oneOf(['issue', 'require', 'deny'] as const, decision.effect, 'effect');
  if (effect === 'deny') {
    const tier = decision.tier == null ? null : oneOf(TIERS, decision.tier, 'tier');
    return { ...decided, effect, tier, reasons: texts(decision.reasons, 'reasons') };
  }
  return {
    ...decided,
    effect,
    tier: oneOf(TIERS, decision.tier, 'tier'),
    limits: object(decision.limits, 'limits'),
    ttlSeconds: wholeNumber(decision.ttl_seconds, 'ttl_seconds'),
    requirement: requirement(object(decision.requirement, 'requirement')),
    outstanding: outstanding(object(decision.outstanding, 'outstanding')),
    waitingOn: texts(decision.waiting_on, 'waiting_on'),
    eligibleApprovers: texts(decision.eligible_approvers, 'eligible_approvers'),
    priority: oneOf(PRIORITIES, decision.priority, 'priority'),
    escalation: list(decision.escalation, 'escalation').map((rung) => {
      const { after_seconds, roles } = object(rung, 'escalation');
      return { afterSeconds: wholeNumber(after_seconds, 'after_seconds'), roles: texts(roles, 'roles') };
    }),
    reminders: list(decision.reminders, 'reminders').map((after) => wholeNumber(after, 'reminders')),
    expiresAfterSeconds: wholeNumber(decision.expires_after_seconds, 'expires_after_seconds'),
    collectWithinSeconds: wholeNumber(decision.collect_within_seconds, 'collect_within_seconds'),
    polling: polling(object(decision.poll, 'poll')),
    velocity: list(decision.velocity, 'velocity').map((limit) => {
      const { rule, key, most, window_seconds } = object(limit, 'velocity');
      return {
        rule: text(rule, 'velocity'),
        key: text(key, 'velocity'),
        most: wholeNumber(most, 'velocity'),
        windowSeconds: wholeNumber(window_seconds, 'velocity'),
      };
    }),
    attestedByTicket: texts(decision.attested_by_ticket, 'attested_by_ticket'),
    // Absent in what an older policy says.
    reversal: decision.reversal == null ? null : reversal(object(decision.reversal, 'reversal')),
    informed: texts(decision.informed, 'informed'),
    consulted: texts(decision.consulted, 'consulted'),
    contacts: Object.fromEntries(
      Object.entries(object(decision.contacts, 'contacts')).map(([team, contact]) => {
        const { channel, email } = object(contact, 'contacts');
        return [team, { channel: text(channel, 'contacts'), email: text(email, 'contacts') }];
      }),
    ),
    breakGlass: breakGlass(object(decision.break_glass, 'break_glass')),
  };
}

function reversal({ ttl_seconds, ...terms }: JsonObject): AllowingDecision['reversal'] {
  return { ...reversalTermsOf(terms), ttlSeconds: wholeNumber(ttl_seconds, 'reversal') };
}

/** What events and policy tell of a reversal. Throws `policy_unavailable` where it is not of the form. */
export function reversalTermsOf({ act, params, limits }: JsonObject): ReversalTerms {
  return {
    act: text(act, 'reversal'),
    params: texts(params, 'reversal'),
    limits: object(limits, 'reversal'),
  };
}

function polling({ interval_seconds, slow_down_seconds }: JsonObject): Polling {
  return {
    intervalSeconds: wholeNumber(interval_seconds, 'poll'),
    slowDownSeconds: wholeNumber(slow_down_seconds, 'poll'),
  };
}

function breakGlass({ broken, role, accountable, review_within_seconds }: JsonObject): BreakGlass {
  return {
    broken: boolean(broken, 'break_glass'),
    role: role === null ? null : text(role, 'break_glass'),
    accountable: texts(accountable, 'break_glass'),
    reviewWithinSeconds: wholeNumber(review_within_seconds, 'break_glass'),
  };
}

/** Whom to tell beside those who hold these roles. `now` is epoch seconds. */
export interface DeputiesQuestion {
  readonly roles: readonly string[];
  readonly now: number;
}

export function deputiesInputJson({ roles, now }: DeputiesQuestion, timeZone: string | null): JsonObject {
  return { roles, context: { time: localTimeJson(now, timeZone) } };
}

/** Reads an answer of `atb/directory/deputies`: SPIFFE IDs. Throws `policy_unavailable`. */
export function parseDeputies(value: unknown): readonly string[] {
  return texts(value, 'deputies');
}

/** Reads an answer of `atb/directory/principal`. Throws `policy_unavailable`. */
export function parsePrincipal(value: unknown): Principal {
  const principal = object(value, 'principal');
  return {
    known: boolean(principal.known, 'known'),
    kind: principal.kind == null ? null : oneOf(['agent', 'person'] as const, principal.kind, 'kind'),
    roles: texts(principal.roles, 'roles'),
    team: principal.team == null ? null : text(principal.team, 'team'),
    mayRevokeAny: boolean(principal.may_revoke_any, 'may_revoke_any'),
    mayErase: boolean(principal.may_erase, 'may_erase'),
  };
}

function requirement(value: JsonObject): Requirement {
  return {
    approvals: wholeNumber(value.approvals, 'approvals'),
    roles: texts(value.roles, 'roles'),
    dualControl: boolean(value.dual_control, 'dual_control'),
    nominated: texts(value.nominated, 'nominated'),
    ticket: boolean(value.ticket, 'ticket'),
    releaseRoles: texts(value.release_roles, 'release_roles'),
    attest: texts(value.attest, 'attest'),
    signedRequest: boolean(value.signed_request, 'signed_request'),
    reason: boolean(value.reason, 'reason'),
  };
}

function outstanding(value: JsonObject): Outstanding {
  return {
    approvals: wholeNumber(value.approvals, 'approvals'),
    attest: texts(value.attest, 'attest'),
    release: boolean(value.release, 'release'),
  };
}

function object(value: unknown, name: string): JsonObject {
  return isJsonObject(value) ? value : malformed(name);
}

function list(value: unknown, name: string): readonly Json[] {
  return Array.isArray(value) ? (value as readonly Json[]) : malformed(name);
}

function texts(value: unknown, name: string): readonly string[] {
  return list(value, name).map((item) => text(item, name));
}

function text(value: unknown, name: string): string {
  return typeof value === 'string' ? value : malformed(name);
}

function boolean(value: unknown, name: string): boolean {
  return typeof value === 'boolean' ? value : malformed(name);
}

function wholeNumber(value: unknown, name: string): number {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : malformed(name);
}

function oneOf<T extends string>(allowed: readonly T[], value: unknown, name: string): T {
  return allowed.find((candidate) => candidate === value) ?? malformed(name);
}

function malformed(name: string): never {
  throw new AtbError('policy_unavailable', `policy answered without a proper ${name}`);
}
