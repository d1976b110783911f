import { visible } from '../../domain/foreign-text';
import { isJsonObject } from '../../domain/json';
import type { Json, JsonObject } from '../../domain/json';
import { parseProposed, PROPOSE, proposalSubject } from '../../domain/proposal';
import type { Proposed, SignOffClaims } from '../../domain/proposal';
import { proposalDigest } from '../../domain/proposal-digest';
import { askedInWords, parseConsultation } from './consultation';
import type { ShownConsultation } from './consultation';
import { EXIT } from './exit';
import type { ExitCode } from './exit';
import { localPolicyData } from './policy-data';
import { UsageError } from './refusal';
import type { Session } from './session';
import { isWanted, reasonOf, requireSomebodyToAsk, roleAmong, signedWord } from './signed-word';
import type { SigningOptions } from './signed-word';
import { notShown, objects, text, textOrNull, texts } from './shown';
import { shortName } from './words';

export interface SignOffOptions extends SigningOptions {
  readonly step?: string;
  readonly reject?: boolean;
}

/** Looks at what is to be approved before it is; throws `UsageError` where it must not be. */
export type Check = (shown: ShownProposal) => void | Promise<void>;

/** A policy's tests are run by whoever approves it: what its proposal says of them, anybody could have written. */
const byItsOwnCommand: Check = ({ kind, id }) => {
  if (kind === 'policy_bundle') {
    throw new UsageError(
      `a policy is approved by its own command, which tests it: atb policy approve ${id} BUNDLE`,
    );
  }
};

/** A proposal as AgentAuth shows it. */
export interface ShownProposal extends Proposed {
  readonly id: string;
  readonly state: string;
  readonly author: string | null;
  readonly outstanding: readonly {
    readonly name: string;
    readonly title: string;
    readonly roles: readonly string[];
  }[];
  readonly words: readonly {
    readonly step: string;
    readonly verdict: string;
    readonly by: string;
    readonly reason: string;
  }[];
  readonly waitingOn: readonly string[];
  readonly endsAt: string | null;
  /** Null where nobody was asked, and in lists. */
  readonly consultation: ShownConsultation | null;
}

/** Proposes something, with your signature; answers what AgentAuth says. */
export async function propose(
  session: Session,
  proposed: Proposed,
  options: SigningOptions,
): Promise<ShownProposal> {
  const held = localPolicyData().rolesOf(session.svid().spiffeId);
  const statement = await signed(session, proposed, {
    ...{ on: proposalSubject(proposed), step: PROPOSE, verdict: 'approve' },
    ...{ role: roleAmong(held, options.role), reason: await reasonOf(session, options) },
  });
  const { body } = await session.client().post('/proposals', { ...proposedJson(proposed), statement });
  return parseProposal(body);
}

/** Shows a proposal, asks, signs exactly what was shown, and sends it. */
export async function signOff(
  session: Session,
  id: string,
  options: SignOffOptions,
  check: Check = byItsOwnCommand,
): Promise<ExitCode> {
  const statement = await wordOn(session, id, options, async (shown, held) => {
    const step = stepOf(shown, held, options.step);
    if (options.reject !== true) await check(shown);
    return step;
  });
  if (statement === undefined) return EXIT.refused;
  const { body } = await session.client().post(`${proposalPath(id)}/sign-offs`, { statement });
  const now = parseProposal(body);
  session.output.answer(body, standingInWords(now));
  return EXIT.done;
}

/**
 * Shows a proposal, asks, and signs a word over exactly what was shown; undefined where the answer was no. Throws
 * `UsageError` where there is nobody to ask.
 */
export async function wordOn(
  session: Session,
  id: string,
  options: SignOffOptions,
  stepFor: (
    shown: ShownProposal,
    held: readonly string[],
  ) => ShownProposal['outstanding'][number] | Promise<ShownProposal['outstanding'][number]>,
): Promise<string | undefined> {
  requireSomebodyToAsk(session, options, 'atb proposal show');
  const shown = await proposalOf(session, id);
  session.output.note(proposalInWords(shown));
  const held = localPolicyData().rolesOf(session.svid().spiffeId);
  const step = await stepFor(shown, held);
  const role = roleAmong(
    held.filter((name) => step.roles.includes(name)),
    options.role,
  );
  const verdict = options.reject === true ? 'reject' : 'approve';
  const reason = await reasonOf(session, options);
  if (!(await isWanted(session, `${verdict.toUpperCase()} "${step.title}"`, options, { role, reason }))) {
    return undefined;
  }
  return signed(session, shown, { on: id, step: step.name, verdict, role, reason });
}

export async function proposalOf(session: Session, id: string): Promise<ShownProposal> {
  return parseProposal((await session.client().get(proposalPath(id))).body);
}

/** All that this kind of proposal has to show. */
export async function proposalsOf(
  session: Session,
  kinds: readonly string[],
): Promise<readonly ShownProposal[]> {
  const { body } = await session.client().get('/proposals');
  const listed = Array.isArray(body.proposals) ? (body.proposals as readonly unknown[]) : [];
  return listed.map(parseProposal).filter(({ kind }) => kinds.length === 0 || kinds.includes(kind));
}

/** What somebody is asked to sign, in words: what exactly, who wants it, who said what, and what is missing. */
export function proposalInWords(shown: ShownProposal): string {
  const { kind, name, author, words } = shown;
  return [
    `${kind.replaceAll('_', ' ')} ${name}, proposed by ${author === null ? 'nobody known' : shortName(author)}`,
    '',
    ...leaves(shown.content).map(([place, value]) => `  ${visible(place)} = ${visible(value)}`),
    '',
    ...words.map(
      ({ step, verdict, by, reason }) => `  ${step}: ${verdict} by ${shortName(by)}: ${visible(reason)}`,
    ),
    ...(shown.consultation === null ? [] : askedInWords(shown.consultation)),
    standingInWords(shown),
  ].join('\n');
}

export function standingInWords({ id, state, outstanding, waitingOn, endsAt }: ShownProposal): string {
  return [
    `${id} is ${state}${endsAt === null ? '' : `, until ${endsAt}`}`,
    ...outstanding.map(({ title, roles }) => `  missing: ${title} (${roles.join(' or ')})`),
    ...(waitingOn.length > 0 ? [`  waits for ${waitingOn.join(', ')}`] : []),
  ].join('\n');
}

/** Every value in a document with its place, a line each: somebody's text, of which nothing may pass for another line. */
function leaves(value: Json, place = ''): readonly (readonly [string, string])[] {
  if (typeof value !== 'object' || value === null) return [[place, String(value)]];
  const members = Object.entries(value as Readonly<Record<string, Json>>);
  if (members.length === 0) return [[place, Array.isArray(value) ? '(an empty list)' : '(nothing)']];
  return members.flatMap(([name, member]) => leaves(member, place === '' ? name : `${place}.${name}`));
}

/** A proposal's id as a path segment. Throws `UsageError`, so that nothing but an id ever gets into a URL. */
function proposalPath(id: string): string {
  if (!/^[a-z0-9_-]+\.[a-z0-9_-]+\.[A-Za-z0-9_-]+$/.test(id))
    throw new UsageError('that is not the id of a proposal');
  return `/proposals/${id}`;
}

function signed(
  session: Session,
  proposed: Proposed,
  said: Pick<SignOffClaims, 'on' | 'step' | 'verdict' | 'role' | 'reason'>,
): Promise<string> {
  return signedWord(session, { ...said, dig: proposalDigest(proposed) });
}

/** The one step that somebody with these roles can take now. Throws `UsageError` where it is not clear. */
function stepOf(
  { outstanding, state }: ShownProposal,
  held: readonly string[],
  said: string | undefined,
): ShownProposal['outstanding'][number] {
  if (state !== 'pending') throw new UsageError(`the proposal is ${state}`);
  const named = outstanding.filter(({ name }) => name === said);
  const fitting =
    said === undefined ? outstanding.filter(({ roles }) => roles.some((role) => held.includes(role))) : named;
  const [step, ...others] = fitting;
  if (step !== undefined && others.length === 0) return step;
  const names = outstanding.map(({ name, title }) => `--step ${name} (${title})`).join(', ');
  throw new UsageError(`which step do you sign? ${names}`);
}

function proposedJson({ kind, name, content }: Proposed): JsonObject {
  return { kind, name, content };
}

/** Reads what AgentAuth shows. Throws `Unreachable` where it is something else. */
function parseProposal(value: unknown): ShownProposal {
  if (!isJsonObject(value)) return notShown();
  const { proposal_id: id, kind, name, content, state, author, ends_at: endsAt } = value;
  if (typeof id !== 'string' || typeof state !== 'string') return notShown();
  return {
    ...parseProposed({ kind: kind ?? null, name: name ?? null, content: content ?? null }),
    ...{ id, state, author: textOrNull(author) },
    outstanding: objects(value.outstanding).map((step) => ({
      ...{ name: text(step.name), title: text(step.title), roles: texts(step.roles) },
    })),
    words: objects(value.words).map(({ step, verdict, by, reason }) => ({
      ...{ step: text(step), verdict: text(verdict), by: text(by), reason: text(reason) },
    })),
    waitingOn: texts(value.waiting_on),
    endsAt: textOrNull(endsAt),
    consultation: isJsonObject(value.consultation) ? parseConsultation(value.consultation) : null,
  };
}
