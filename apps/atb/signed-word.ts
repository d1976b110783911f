import { randomBytes } from 'node:crypto';
import { signSignOff } from '../../adapters/jose/sign-off-statement';
import { visible } from '../../domain/foreign-text';
import type { SignOffClaims } from '../../domain/proposal';
import { UsageError } from './refusal';
import type { CommonOptions, Session } from './session';

const JTI_BYTES = 16;

export interface SigningOptions extends CommonOptions {
  readonly role?: string;
  readonly reason?: string;
  readonly yes?: boolean;
}

/** A word over a digest, with the key of the caller's own SVID. */
export async function signedWord(
  session: Session,
  said: Pick<SignOffClaims, 'on' | 'dig' | 'step' | 'verdict' | 'role' | 'reason'>,
): Promise<string> {
  const svid = session.svid();
  return signSignOff(svid.privateKey, svid.chain, {
    ...said,
    iat: Math.floor(session.now.getTime() / 1000),
    jti: randomBytes(JTI_BYTES).toString('base64url'),
  });
}

/** Throws `UsageError` where nobody could say yes to what is about to be shown. */
export function requireSomebodyToAsk(session: Session, { yes }: SigningOptions, look: string): void {
  if (yes !== true && !session.surroundings.ask) {
    throw new UsageError(`there is no terminal to ask at; look at it with "${look}", then say --yes`);
  }
}

/** Tells what is about to be signed, and asks; false where nothing is to be signed. */
export async function isWanted(
  session: Session,
  what: string,
  { yes }: SigningOptions,
  { role, reason }: { readonly role: string; readonly reason: string },
): Promise<boolean> {
  session.output.note(`\n${what} as ${role}: ${visible(reason)}`);
  if (yes === true) return true;
  const reply = (await session.surroundings.ask?.('\nSign this with your key? [y/N] ')) ?? '';
  if (/^y(es)?$/i.test(reply.trim())) return true;
  session.output.note('nothing was signed');
  return false;
}

/** Throws `UsageError` where there is none. */
export async function reasonOf(session: Session, { reason, yes }: SigningOptions): Promise<string> {
  const said =
    reason ??
    (yes === true ? '' : await session.surroundings.ask?.('\nWhy? (it is signed with your word) ')) ??
    '';
  if (said.trim() === '') throw new UsageError('your reason is signed with your word: --reason TEXT');
  return said.trim();
}

/** The role that was said, else the only one. Throws `UsageError`. */
export function roleAmong(held: readonly string[], said: string | undefined): string {
  const [role, ...others] = said === undefined ? held : [said];
  if (role !== undefined && others.length === 0) return role;
  throw new UsageError(
    role === undefined
      ? 'in which role do you speak? --role ROLE'
      : `you have several roles that fit; say which: ${held.map((name) => `--role ${name}`).join(', ')}`,
  );
}
