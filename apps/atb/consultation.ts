import { ANSWER_STEP } from '../../domain/consultation';
import { consultationDigest } from '../../domain/consultation-digest';
import { quoted, visible } from '../../domain/foreign-text';
import { isJsonObject } from '../../domain/json';
import type { Json, JsonObject } from '../../domain/json';
import { EXIT } from './exit';
import type { ExitCode } from './exit';
import { moment, parseMoment } from './moment';
import { localPolicyData } from './policy-data';
import { UsageError } from './refusal';
import type { Session } from './session';
import { notShown, objects, text, textOrNull, texts, whole } from './shown';
import { isWanted, reasonOf, requireSomebodyToAsk, roleAmong, signedWord } from './signed-word';
import type { SigningOptions } from './signed-word';
import { shortName } from './words';

/** A consultation as AgentAuth shows it. */
export interface ShownConsultation {
  readonly id: string;
  readonly title: string;
  readonly state: string;
  readonly consulted: readonly string[];
  readonly askedAt: string;
  /** What answers are signed over. */
  readonly askedAtSeconds: number;
  /** Null until policy was asked. */
  readonly answerUntil: string | null;
  readonly answers: readonly {
    readonly team: string;
    readonly verdict: string;
    readonly by: string;
    readonly role: string;
    readonly text: string;
    readonly receivedAt: string;
  }[];
  readonly unanswered: readonly string[];
  readonly document: JsonObject;
}

/** Shows a consultation, asks, signs an answer, and sends it. */
export async function answerFor(
  session: Session,
  id: string,
  options: SigningOptions & { readonly against?: boolean },
): Promise<ExitCode> {
  requireSomebodyToAsk(session, options, 'atb consultation show');
  const shown = await consultationOf(session, id);
  session.output.note(consultationInWords(shown));
  const role = roleAmong(localPolicyData().rolesOf(session.svid().spiffeId), options.role);
  const reason = await reasonOf(session, options);
  const verdict = options.against === true ? 'reject' : 'approve';
  const what = verdict === 'reject' ? 'ADVISE AGAINST IT' : 'SAY THAT NOTHING SPEAKS AGAINST IT';
  if (!(await isWanted(session, what, options, { role, reason }))) return EXIT.refused;
  const statement = await signedWord(session, {
    ...{ on: id, dig: consultationDigest(id, shown.askedAtSeconds), step: ANSWER_STEP },
    ...{ verdict, role, reason },
  });
  const { body } = await session.client().post(`${consultationPath(id)}/answers`, { statement });
  session.output.answer(body, consultationInWords(parseConsultation(body)));
  return EXIT.done;
}

export async function consultationOf(session: Session, id: string): Promise<ShownConsultation> {
  const shown = parseConsultation((await session.client().get(consultationPath(id))).body);
  return shown.id === id ? shown : notShown();
}

/** Those whose time is not over. */
export async function consultationsOf(session: Session): Promise<readonly ShownConsultation[]> {
  const { body } = await session.client().get('/consultations');
  return objects(body.consultations).map(parseConsultation);
}

export function consultationInWords(shown: ShownConsultation): string {
  return [`${shown.id} is ${shown.state}`, `  ${visible(shown.title)}`, ...askedInWords(shown)].join('\n');
}

/** Who was asked until when, and what they answered: lines of a timeline. */
export function askedInWords({
  consulted,
  askedAt,
  answerUntil,
  answers,
  unanswered,
}: ShownConsultation): readonly string[] {
  return [
    ...(consulted.length > 0 && answerUntil !== null
      ? [`  ${askedAt} asked until ${answerUntil}: ${consulted.join(', ')}`]
      : []),
    ...answers.map(
      ({ team, verdict, by, role, text: said, receivedAt }) =>
        `  ${receivedAt} ${team} ${verdict === 'reject' ? 'advises against it' : 'has nothing against it'}, by ${shortName(by)} (${role}): ${visible(said)}`,
    ),
    ...unanswered.map((team) => `  ${answerUntil ?? ''} ${team} did not answer in time`),
  ];
}

/** Who is asked for advice until when, and what it is so far: for whoever is about to sign, a sentence each. */
export function adviceInWords(shown: ShownConsultation, now: Date): readonly string[] {
  const { consulted, answerUntil, answers, unanswered } = shown;
  const silent = consulted.filter(
    (team) => !unanswered.includes(team) && !answers.some((answer) => answer.team === team),
  );
  const until = parseMoment(answerUntil);
  return [
    ...answers.map(
      ({ team, verdict, by, text: said }) =>
        `${visible(team)} ${verdict === 'reject' ? 'advises against it' : 'has nothing against it'}: ${quoted(said)}, by ${shortName(by)}`,
    ),
    ...unanswered.map((team) => `${visible(team)} did not answer in time`),
    ...(silent.length > 0
      ? [
          `not yet from ${silent.map(visible).join(', ')}${until === undefined ? '' : `, asked until ${moment(until, now)}`}`,
        ]
      : []),
  ];
}

/** Reads what AgentAuth shows. Throws `Unreachable` where it is something else. */
export function parseConsultation(value: Json): ShownConsultation {
  if (!isJsonObject(value)) return notShown();
  return {
    ...{ id: text(value.consultation_id), title: text(value.title), state: text(value.state) },
    consulted: texts(value.consulted),
    ...{ askedAt: text(value.asked_at), askedAtSeconds: whole(value.asked_at_seconds) },
    answerUntil: textOrNull(value.answer_until),
    answers: objects(value.answers).map((answer) => ({
      ...{ team: text(answer.team), verdict: text(answer.verdict), by: text(answer.by) },
      ...{ role: text(answer.role), text: text(answer.text), receivedAt: text(answer.received_at) },
    })),
    unanswered: texts(value.unanswered),
    document: value,
  };
}

/** A consultation's id as a path segment. Throws `UsageError`, so that nothing but an id ever gets into a URL. */
function consultationPath(id: string): string {
  if (!/^(request|proposal|incident)\.[A-Za-z0-9_.-]{1,240}$/.test(id)) {
    throw new UsageError('that is not the id of a consultation');
  }
  return `/consultations/${id}`;
}
