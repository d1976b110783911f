import { decodeProtectedHeader } from 'jose';
import { AtbError } from '../../domain/error';
import type { CallerToken, CallerTokens } from '../../domain/ports';
import { IDENTITY_TYP, verifyIdentityToken } from './identity-token';
import type { MandateVerificationKeys } from './mandate-keys';

/** Validates a JWT-SVID for an audience (SPIFFE JWT-SVID §2–5), as of a time; `digest` is of what was signed. */
export type JwtSvidValidation = (
  token: string,
  audience: string,
  at: Date,
) => Promise<{ readonly spiffeId: string; readonly expiresAt: Date; readonly digest: string }>;

/** Tokens that may stand for an agent at AgentAuth: which kind, their `typ` says. */
export function callerTokens(
  jwtSvid: JwtSvidValidation,
  keys: MandateVerificationKeys,
  agentauth: string,
): CallerTokens {
  return {
    async verify(token: string, at: Date): Promise<CallerToken> {
      if (typOf(token) !== IDENTITY_TYP) return { ...(await jwtSvid(token, agentauth, at)), jkt: null };
      const { sub, exp, cnf } = verifyIdentityToken(token, keys, agentauth, at);
      return { spiffeId: sub, expiresAt: new Date(exp * 1000), jkt: cnf.jkt };
    },
  };
}

function typOf(token: string): string | undefined {
  try {
    return decodeProtectedHeader(token).typ;
  } catch (cause) {
    throw new AtbError('token_invalid', 'the token is not a JWT', { cause });
  }
}
