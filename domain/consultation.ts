import { AtbError } from './error';
import { isJsonObject } from './json';
import type { JsonObject } from './json';
import { signOffFactJson } from './proposal';
import type { SignOffFact } from './proposal';
import type { WordAnswer } from './word-answer';

/** What people work on by the RACI matrix (operating model §1). */
export const CONSULTED_FLOWS = ['request', 'proposal', 'incident'] as const;
export type ConsultedFlow = (typeof CONSULTED_FLOWS)[number];

/** What it is about. */
export interface ConsultedMatter {
  readonly flow: ConsultedFlow;
  /** The id of the request, the proposal or the incident. */
  readonly subject: string;
  /** The tier of a request, the kind of a proposal or an incident. */
  readonly kind: string;
  /** Of an incident, which has its id again: when it was opened (epoch seconds). */
  readonly openedAt: number | null;
  /** For people, without anything that an agent or a stranger wrote. */
  readonly title: string;
}

/** The step by which a team that is Consulted answers; a word on nothing else counts for it. */
export const ANSWER_STEP = 'answer';

/** An answer that counts: it advises, and decides nothing. */
export interface ConsultedAnswer {
  readonly team: string;
  /** Whether the team has nothing against it. */
  readonly verdict: 'approve' | 'reject';
  readonly by: string;
  readonly role: string;
  readonly text: string;
  /** Epoch seconds. */
  readonly receivedAt: number;
  readonly jti: string;
}

/** Where a consultation stands. Times are epoch seconds. */
export interface ConsultationStatus {
  readonly id: string;
  readonly flow: ConsultedFlow;
  readonly subject: string;
  readonly kind: string;
  readonly title: string;
  /** `over`: everybody has answered, or the time is. */
  readonly state: 'asking' | 'over';
  readonly responsible: readonly string[];
  readonly accountable: readonly string[];
  readonly consulted: readonly string[];
  readonly askedAt: number;
  /** Null until policy was asked. */
  readonly answerUntil: number | null;
  readonly answers: readonly ConsultedAnswer[];
  /** Teams whose time passed without an answer. */
  readonly unanswered: readonly string[];
  readonly policyRevision: string | null;
}

export type ConsultationAnswer = WordAnswer<ConsultationStatus>;

/** One for each request and tier, each proposal, and each time that an incident was opened. */
export function consultationId({ flow, subject, kind, openedAt }: Omit<ConsultedMatter, 'title'>): string {
  switch (flow) {
    case 'request':
      return `request.${subject}.${kind}`;
    case 'proposal':
      return `proposal.${subject}`;
    case 'incident':
      return `incident.${subject}.${openedAt ?? 0}`;
  }
}

/** What policy is asked: who works on it and who is asked, or, with a word, whether that answers for a team. */
export interface ConsultationInput {
  readonly flow: ConsultedFlow;
  readonly kind: string;
  readonly word: SignOffFact | null;
  /** Epoch seconds. */
  readonly now: number;
}

export interface ConsultationDecision {
  readonly effect: 'allow' | 'deny';
  readonly reasons: readonly string[];
  readonly activities: readonly string[];
  readonly responsible: readonly string[];
  readonly accountable: readonly string[];
  readonly consulted: readonly string[];
  readonly answerSeconds: number;
  /** For which team the word speaks. */
  readonly team: string | null;
  readonly policyRevision: string;
}

/** The input in the words of the Rego rules. */
export function consultationInputJson({ flow, kind, word, now }: ConsultationInput): JsonObject {
  return { flow, kind, word: word && signOffFactJson(word), now };
}

/** Reads an answer of `atb/consultation/decision`. Throws `policy_unavailable` where it is not of the form. */
export function parseConsultationDecision(value: unknown): ConsultationDecision {
  const decision = isJsonObject(value) ? value : {};
  const { effect, team, policy_revision: policyRevision, answer_seconds: answerSeconds } = decision;
  const { reasons, activities, responsible, accountable, consulted } = decision;
  if (
    (effect !== 'allow' && effect !== 'deny') ||
    (team !== null && typeof team !== 'string') ||
    typeof policyRevision !== 'string' ||
    !Number.isSafeInteger(answerSeconds) ||
    !isTexts(reasons) ||
    !isTexts(activities) ||
    !isTexts(responsible) ||
    !isTexts(accountable) ||
    !isTexts(consulted)
  ) {
    throw new AtbError('policy_unavailable', 'policy answered without a proper decision on a consultation');
  }
  return {
    ...{ effect, reasons, activities, responsible, accountable, consulted, team, policyRevision },
    answerSeconds: answerSeconds as number,
  };
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}
