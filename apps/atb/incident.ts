import { visible } from '../../domain/foreign-text';
import { OPEN_STEP, parseIncidentMatter } from '../../domain/incident';
import type { IncidentMatter, IncidentStep } from '../../domain/incident';
import { incidentDigest, openingDigest, openingSubject } from '../../domain/incident-digest';
import { isAtbError } from '../../domain/error';
import { isJsonObject } from '../../domain/json';
import type { Json, JsonObject } from '../../domain/json';
import { askedInWords, parseConsultation } from './consultation';
import type { ShownConsultation } from './consultation';
import { EXIT } from './exit';
import type { ExitCode } from './exit';
import { localPolicyData } from './policy-data';
import { UsageError } from './refusal';
import type { Session } from './session';
import { notShown, objects, text, textOrNull, texts, whole } from './shown';
import { isWanted, reasonOf, requireSomebodyToAsk, roleAmong, signedWord } from './signed-word';
import type { SigningOptions } from './signed-word';
import { shortName } from './words';

/** An incident as AgentAuth shows it. */
export interface ShownIncident {
  readonly id: string;
  readonly kind: string;
  readonly title: string;
  readonly cause: string;
  /** Empty until policy was asked, just after it was opened. */
  readonly severity: string;
  readonly state: string;
  readonly count: number;
  readonly rung: number;
  readonly told: readonly string[];
  /** Each rung of its ladder, and when it was told. */
  readonly climbed: readonly { readonly roles: readonly string[]; readonly at: string }[];
  readonly openedAt: string;
  /** What words are signed over. */
  readonly openedAtSeconds: number;
  readonly openedBy: string | null;
  readonly acknowledgedAt: string | null;
  readonly resolvedAt: string | null;
  readonly reopenedAt: readonly string[];
  readonly words: readonly ShownWord[];
  readonly containments: readonly {
    readonly target: string;
    readonly by: string | null;
    readonly since: string;
    readonly liftedBy: string | null;
    readonly liftedAt: string | null;
  }[];
  readonly openFollowUps: readonly string[];
  /** Null where nobody was asked, and in lists. */
  readonly consultation: ShownConsultation | null;
  readonly document: JsonObject;
}

interface ShownWord {
  readonly step: string;
  readonly by: string;
  readonly role: string;
  readonly text: string;
  readonly jti: string;
  readonly about: string | null;
  readonly receivedAt: string;
}

/** Opens an incident with your signature, or joins the one of the same kind and cause; undefined where you said no. */
export async function openIncident(
  session: Session,
  asked: JsonObject,
  options: SigningOptions,
): Promise<ShownIncident | undefined> {
  const matter = matterOf(asked);
  requireSomebodyToAsk(session, options, 'atb incident ls');
  const role = roleFor(session, OPEN_STEP, options);
  const { kind, cause, severity } = matter;
  session.output.note(`${kind}, ${severity ?? 'as grave as policy says'}: ${visible(cause)}`);
  const reason = await reasonOf(session, options);
  if (!(await isWanted(session, 'OPEN', options, { role, reason }))) return undefined;
  const statement = await signedWord(session, {
    ...{ on: openingSubject(matter), dig: openingDigest(matter), step: OPEN_STEP },
    ...{ verdict: 'approve', role, reason },
  });
  return parseIncident((await session.client().post('/incidents', { ...asked, statement })).body);
}

/** Shows an incident, asks, signs a word on it, and sends it; `about` is the follow-up that it closes, or what it stops or lifts. */
export async function speak(
  session: Session,
  id: string,
  { step, about }: { readonly step: IncidentStep; readonly about: string | null },
  options: SigningOptions,
): Promise<ExitCode> {
  requireSomebodyToAsk(session, options, 'atb incident show');
  const shown = await incidentOf(session, id);
  session.output.note(incidentInWords(shown));
  const role = roleFor(session, step, options);
  const reason = await reasonOf(session, options);
  const what = step.replaceAll('_', ' ').toUpperCase() + (about === null ? '' : ` ${visible(about)}`);
  if (!(await isWanted(session, what, options, { role, reason }))) return EXIT.refused;
  const statement = await signedWord(session, {
    ...{ on: id, dig: incidentDigest(id, shown.openedAtSeconds, about), step },
    ...{ verdict: 'approve', role, reason },
  });
  const { body } = await session.client().post(`${incidentPath(id)}/words`, { statement, about });
  session.output.answer(body, incidentInWords(parseIncident(body)));
  return EXIT.done;
}

export async function incidentOf(session: Session, id: string): Promise<ShownIncident> {
  const shown = parseIncident((await session.client().get(incidentPath(id))).body);
  return shown.id === id ? shown : notShown();
}

/** Those that are not over. */
export async function incidentsOf(session: Session): Promise<readonly ShownIncident[]> {
  const { body } = await session.client().get('/incidents');
  return objects(body.incidents).map(parseIncident);
}

/** What happened, who was told, and who said what, in its order. */
export function incidentInWords(shown: ShownIncident): string {
  const { id, kind, title, cause, severity, state, count, told, openedAt, openedBy } = shown;
  const by = openedBy === null ? '' : ` by ${shortName(openedBy)}`;
  return [
    `${id} is ${state}`,
    `  ${severity} ${visible(title)} (${kind})`,
    `  cause: ${visible(cause)}`,
    `  opened ${openedAt}${by}, reported ${count === 1 ? 'once' : `${count} times`}`,
    ...(state === 'open' ? [`  told: ${told.length === 0 ? 'nobody' : told.join(', ')}`] : []),
    ...timeline(shown),
    ...shown.containments.map(({ target, by, since, liftedBy, liftedAt }) => {
      const whom = by === null ? 'policy' : shortName(by);
      const lifted = liftedAt === null ? '' : `, lifted ${liftedAt} by ${shortName(liftedBy ?? '')}`;
      return `  stopped: ${visible(target)} since ${since} by ${whom}${lifted}`;
    }),
    ...shown.openFollowUps.map((jti) => `  to be done: ${visible(jti)}`),
  ].join('\n');
}

/** What people said, and who was asked, in the order of time. */
function timeline({ words, consultation, reopenedAt }: ShownIncident): readonly string[] {
  const reopened = reopenedAt.map((at) => `  ${at} seen again after it was resolved: open again`);
  const asked = consultation === null ? [] : askedInWords(consultation);
  const time = (line: string) => line.trimStart().split(' ', 1)[0] ?? '';
  return [...asked, ...reopened, ...words.map(wordInWords)].sort((a, b) =>
    time(a) < time(b) ? -1 : Number(time(a) > time(b)),
  );
}

function wordInWords({ step, by, role, text: said, jti, about, receivedAt }: ShownWord): string {
  const which = step === 'follow_up' ? ` ${visible(jti)}` : about === null ? '' : ` ${visible(about)}`;
  return `  ${receivedAt} ${step.replaceAll('_', ' ')}${which} by ${shortName(by)} (${role}): ${visible(said)}`;
}

function roleFor(session: Session, step: string, { role }: SigningOptions): string {
  const policy = localPolicyData();
  const fitting = policy.rolesOfIncidentStep(step);
  return roleAmong(
    policy.rolesOf(session.svid().spiffeId).filter((held) => fitting.includes(held)),
    role,
  );
}

function matterOf(asked: JsonObject): IncidentMatter {
  try {
    return parseIncidentMatter(asked);
  } catch (error) {
    if (!isAtbError(error)) throw error;
    throw new UsageError(error.message);
  }
}

/** An incident's id as a path segment. Throws `UsageError`, so that nothing but an id ever gets into a URL. */
function incidentPath(id: string): string {
  if (!/^[A-Za-z][A-Za-z0-9_]*\.[A-Za-z0-9_-]{22}$/.test(id)) {
    throw new UsageError('that is not the id of an incident');
  }
  return `/incidents/${id}`;
}

/** Reads what AgentAuth shows. Throws `Unreachable` where it is something else. */
function parseIncident(value: Json): ShownIncident {
  if (!isJsonObject(value)) return notShown();
  return {
    ...{ id: text(value.incident_id), kind: text(value.kind), title: text(value.title) },
    ...{ cause: text(value.cause), severity: textOrNull(value.severity) ?? '', state: text(value.state) },
    ...{ count: whole(value.count), rung: whole(value.rung), told: texts(value.told) },
    climbed: objects(value.climbed).map(({ roles, at }) => ({ roles: texts(roles), at: text(at) })),
    ...{ openedAt: text(value.opened_at), openedAtSeconds: whole(value.opened_at_seconds) },
    openedBy: textOrNull(value.opened_by),
    ...{ acknowledgedAt: textOrNull(value.acknowledged_at), resolvedAt: textOrNull(value.resolved_at) },
    reopenedAt: texts(value.reopened_at ?? []),
    words: objects(value.words).map((word) => ({
      ...{ step: text(word.step), by: text(word.by), role: text(word.role), text: text(word.text) },
      ...{ jti: text(word.jti), about: textOrNull(word.about), receivedAt: text(word.received_at) },
    })),
    containments: objects(value.containments).map((one) => ({
      target: `${text(one.scope)}:${text(one.value)}`,
      ...{ by: textOrNull(one.by), since: text(one.since) },
      ...{ liftedBy: textOrNull(one.lifted_by), liftedAt: textOrNull(one.lifted_at) },
    })),
    openFollowUps: texts(value.open_follow_ups),
    consultation: isJsonObject(value.consultation) ? parseConsultation(value.consultation) : null,
    document: value,
  };
}
