import { visible } from '../../domain/foreign-text';
import { isJsonObject } from '../../domain/json';
import type { JsonObject } from '../../domain/json';
import { adviceInWords, parseConsultation } from './consultation';
import { EXIT } from './exit';
import type { ExitCode } from './exit';
import { localPolicyData } from './policy-data';
import { UsageError } from './refusal';
import type { CommonOptions, Session } from './session';
import type { Standing } from './standing';
import { signable } from './to-approve';
import type { Signable } from './to-approve';
import { deliverVerdict, signedVerdict } from './verdict-delivery';
import { ownWords, requestInWords } from './words';
import type { Word } from './words';

export interface VerdictOptions extends CommonOptions {
  readonly role?: string;
  readonly reason: string;
  readonly attest: readonly string[];
  readonly yes?: boolean;
  readonly via: string;
}

/** A verdict's outcome, for whoever runs this to tell. */
export interface VerdictOutcome {
  readonly exit: ExitCode;
  readonly document: JsonObject;
  readonly text: string;
}

/** Shows one request in words; answers what would be signed. */
export function showRequest(session: Session, standing: Standing, requestId: string): Signable {
  const toSign = signable(standing, requestId);
  const { consultation } = standing.document;
  const advice = isJsonObject(consultation)
    ? adviceInWords(parseConsultation(consultation), session.now)
    : [];
  const around = { now: session.now, policy: localPolicyData(), advice };
  session.output.note(requestInWords(toSign, standing, around));
  return toSign;
}

/** Asks what the reader of a request has to say of it, signs exactly what was shown, and sends it. */
export async function giveVerdict(
  session: Session,
  word: Word,
  { standing, toSign }: { readonly standing: Standing; readonly toSign: Signable },
  options: VerdictOptions,
): Promise<VerdictOutcome> {
  const svid = session.svid();
  requireAskedFacts(options.attest, standing);
  const role = chooseRole(word, options.role, localPolicyData().rolesOf(svid.spiffeId), standing);
  const said = await askedWords(session, word, standing, options);
  const intent = { word, by: svid.spiffeId, role, ...said };
  session.output.note(`\n${ownWords(standing, intent)}`);
  const question = `\n${word.toUpperCase()}: sign this with your key? [y/N] `;
  if (options.yes !== true && !isYes(await session.surroundings.ask?.(question))) {
    session.output.note('nothing was signed');
    return { exit: EXIT.refused, document: { request_id: toSign.content.req, signed: false }, text: '' };
  }
  const signed = await signedVerdict(svid, toSign, intent, session.now);
  return deliverVerdict(session, signed, options.via === 'temporal' ? 'temporal' : 'http');
}

/**
 * The reason and the facts: as the options say, and what is missing of them as the person at the terminal says, one
 * question each. Throws `UsageError` where a reason is demanded and there is none; a reject is heard without one.
 */
async function askedWords(
  session: Session,
  word: Word,
  { requirement, outstanding }: Standing,
  options: VerdictOptions,
): Promise<{ readonly reason: string; readonly attests: readonly string[] }> {
  const ask = options.yes === true ? undefined : session.surroundings.ask;
  const attests = [...options.attest];
  const open = outstanding.attest.length > 0 ? outstanding.attest : requirement.attest;
  if (ask && word === 'approve') {
    for (const fact of open.filter((name) => !attests.includes(name))) {
      const vouches = isYes(
        await ask(`\nDid you check yourself, and do you vouch for ${visible(fact)}? [y/N] `),
      );
      if (vouches) attests.push(fact);
    }
  }
  const demanded = requirement.reason || word === 'reject';
  const reason =
    options.reason === '' && demanded && ask
      ? (await ask('\nWhy? (it is signed with your verdict) ')).trim()
      : options.reason;
  if (reason.trim() === '' && requirement.reason && word !== 'reject') {
    throw new UsageError('this tier wants your reason: --reason TEXT');
  }
  return { reason, attests };
}

/** Nobody is to vouch by a slip of the keyboard for what was not asked. */
function requireAskedFacts(attests: readonly string[], { requirement }: Standing): void {
  const unasked = attests.find((fact) => !requirement.attest.includes(fact));
  if (unasked === undefined) return;
  const asked = requirement.attest.length === 0 ? 'nothing' : requirement.attest.join(', ');
  throw new UsageError(`--attest ${unasked}: this request asks to attest ${asked}`);
}

/**
 * The role in which somebody speaks: the one that they say, else the only one of theirs that the request waits for.
 * A reject is also the word of whoever has one role only. Throws `UsageError` where it is not clear.
 */
export function chooseRole(
  word: Word,
  said: string | undefined,
  held: readonly string[],
  { requirement }: Pick<Standing, 'requirement'>,
): string {
  if (said !== undefined) return said;
  const demanded = word === 'release' ? requirement.releaseRoles : requirement.roles;
  const fitting = held.filter((role) => demanded.includes(role));
  const [role, ...others] = fitting.length === 0 && word === 'reject' ? held : fitting;
  if (role !== undefined && others.length === 0) return role;
  if (role === undefined) {
    const roles = demanded.length === 0 ? '' : ` (this needs ${demanded.join(' or ')})`;
    throw new UsageError(`in which role do you speak? --role ROLE${roles}`);
  }
  throw new UsageError(
    `you have several roles that fit; say which: ${fitting.map((name) => `--role ${name}`).join(', ')}`,
  );
}

function isYes(reply: string | undefined): boolean {
  return /^y(es)?$/i.test((reply ?? '').trim());
}
