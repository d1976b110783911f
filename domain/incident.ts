import { AtbError } from './error';
import { isJsonObject } from './json';
import type { JsonObject } from './json';
import type { IdentityEvidence } from './mandate-request';
import type { EscalationRung } from './policy';
import { signOffFactJson } from './proposal';
import type { SignOffFact } from './proposal';
import type { StopTarget } from './stop';
import type { WordAnswer } from './word-answer';

/** Operating model §5. */
export const SEVERITIES = ['P1', 'P2', 'P3', 'P4'] as const;
export type Severity = (typeof SEVERITIES)[number];

/** What happened. Kind and cause together say whether two reports are of one incident. */
export interface IncidentMatter {
  /** One of policy's data (incidents.kinds); of an alert, its name. */
  readonly kind: string;
  readonly cause: string;
  /** Asked for by whoever opens it by hand, or the label of an alert; null: what policy says of the kind. */
  readonly severity: Severity | null;
}

/**
 * Who says so: a person, by a signed word; a reporter that policy knows, by its SVID; or the audit log, by the ids of its
 * events.
 */
export type IncidentReporter =
  | { readonly source: 'hand'; readonly statement: string }
  | { readonly source: 'audit'; readonly events: readonly string[] }
  | { readonly source: 'alert'; readonly evidence: IdentityEvidence };

export interface IncidentReport {
  readonly matter: IncidentMatter;
  readonly reporter: IncidentReporter;
}

/** Which incident: one of a kind and a cause, opened at that moment (epoch seconds). */
export interface IncidentRef {
  readonly id: string;
  readonly kind: string;
  readonly openedAt: number;
}

/** The steps in which people speak on an incident; `open` opens one by hand. */
export const INCIDENT_STEPS = [
  'acknowledge',
  'note',
  'contain',
  'lift',
  'resolve',
  'follow_up',
  'follow_up_close',
  'review',
] as const;
export type IncidentStep = (typeof INCIDENT_STEPS)[number];
export const OPEN_STEP = 'open';

export type IncidentState = 'open' | 'acknowledged' | 'resolved' | 'closed' | 'refused';

/** A signed word that counted. */
export interface IncidentWord {
  readonly step: IncidentStep;
  readonly by: string;
  readonly role: string;
  readonly text: string;
  /** Epoch seconds. */
  readonly receivedAt: number;
  readonly jti: string;
  /** The follow-up that it closes, by its `jti`; what it stops, or lifts the stop of (`stopTargetText`). */
  readonly about: string | null;
}

/** What was stopped because of an incident. Times are epoch seconds. */
export interface Containment extends StopTarget {
  /** Null where policy says so of its kind. */
  readonly by: string | null;
  readonly since: number;
  readonly liftedBy: string | null;
  readonly liftedAt: number | null;
}

/** Where an incident stands. Times are epoch seconds. */
export interface IncidentStatus {
  readonly id: string;
  readonly kind: string;
  readonly title: string;
  readonly cause: string;
  readonly severity: Severity | null;
  readonly state: IncidentState;
  readonly openedAt: number;
  readonly openedBy: string | null;
  /** How often it was reported. */
  readonly count: number;
  /** The highest rung that was told; -1 where nobody was yet. */
  readonly rung: number;
  readonly told: readonly string[];
  /** Each rung of the ladder, and when it was told; not that the last one was told again. */
  readonly climbed: readonly { readonly roles: readonly string[]; readonly at: number }[];
  readonly acknowledgedAt: number | null;
  readonly resolvedAt: number | null;
  /** When it was seen again after it was resolved: from then on its ladder climbs anew. */
  readonly reopenedAt: readonly number[];
  readonly words: readonly IncidentWord[];
  readonly containments: readonly Containment[];
  /** Follow-ups that nobody has closed, by `jti`. */
  readonly openFollowUps: readonly string[];
  readonly policyRevision: string | null;
  readonly reasons: readonly string[];
}

export type IncidentAnswer = WordAnswer<IncidentStatus>;

/** What policy is asked about an incident: of its opening, and of each word on it. */
export interface IncidentInput {
  readonly kind: string;
  readonly source: IncidentReporter['source'];
  /** Who reports; of a word, who signed it. */
  readonly by: string;
  readonly severity: Severity | null;
  /** Null where an alert or the audit log opens it. */
  readonly word: SignOffFact | null;
  /** Epoch seconds. */
  readonly now: number;
}

export interface IncidentDecision {
  readonly effect: 'allow' | 'deny';
  readonly reasons: readonly string[];
  readonly severity: Severity;
  readonly title: string;
  /** From the opening on; the last is told again and again until somebody acknowledges. */
  readonly escalation: readonly EscalationRung[];
  readonly responseSeconds: number;
  /** How long after it was resolved the review is asked for, again and again. */
  readonly reviewSeconds: number;
  readonly reviewRoles: readonly string[];
  /** What is stopped at once, where the events of the audit log say which. */
  readonly contain: readonly string[];
  readonly policyRevision: string;
}

const KIND = /^[A-Za-z][A-Za-z0-9_]{0,63}$/;
const MOST_CAUSE = 512;

/** Reads what an incident is about. Throws `incident_malformed`. */
export function parseIncidentMatter(value: unknown): IncidentMatter {
  const { kind, cause, severity = null } = isJsonObject(value) ? value : {};
  if (typeof kind !== 'string' || !KIND.test(kind)) throw malformed('its kind is no name');
  if (typeof cause !== 'string' || cause.trim() === '' || cause.length > MOST_CAUSE) {
    throw malformed(`its cause is not a text of 1 to ${MOST_CAUSE} characters`);
  }
  const known = SEVERITIES.find((one) => one === severity);
  if (severity !== null && known === undefined)
    throw malformed(`its severity is none of ${SEVERITIES.join(', ')}`);
  return { kind, cause, severity: known ?? null };
}

function malformed(why: string): AtbError {
  return new AtbError('incident_malformed', `the incident is malformed: ${why}`);
}

/** The input in the words of the Rego rules. */
export function incidentInputJson({ word, ...input }: IncidentInput): JsonObject {
  return { ...input, word: word && signOffFactJson(word) };
}

/** Reads an answer of `atb/incident/decision`. Throws `policy_unavailable` where it is not of the form. */
export function parseIncidentDecision(value: unknown): IncidentDecision {
  const decision = isJsonObject(value) ? value : {};
  const { effect, reasons, title, escalation } = decision;
  const severity = SEVERITIES.find((one) => one === decision.severity);
  const times = [decision.response_seconds, decision.review_seconds];
  if (
    (effect !== 'allow' && effect !== 'deny') ||
    severity === undefined ||
    typeof title !== 'string' ||
    typeof decision.policy_revision !== 'string' ||
    !isTexts(reasons) ||
    !isTexts(decision.review_roles) ||
    !isTexts(decision.contain) ||
    !Array.isArray(escalation) ||
    !times.every((time) => Number.isSafeInteger(time))
  ) {
    throw new AtbError('policy_unavailable', 'policy answered without a proper decision on an incident');
  }
  const [responseSeconds, reviewSeconds] = times as [number, number];
  return {
    ...{ effect, reasons, severity, title, responseSeconds, reviewSeconds },
    reviewRoles: decision.review_roles,
    contain: decision.contain,
    escalation: escalation.map((rung) => {
      const { after_seconds, roles } = isJsonObject(rung) ? rung : {};
      if (!Number.isSafeInteger(after_seconds) || !isTexts(roles)) {
        throw new AtbError('policy_unavailable', 'policy answered with a rung that is none');
      }
      return { afterSeconds: after_seconds as number, roles };
    }),
    policyRevision: decision.policy_revision,
  };
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}
