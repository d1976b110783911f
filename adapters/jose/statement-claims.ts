import { decodeBase64url } from '../../domain/compact-jws';
import type { JsonObject } from '../../domain/json';

const MAX_REASON = 2000;
const JTI = /^[A-Za-z0-9._~-]{16,128}$/;
/** Roles, steps and facts are names in policy's data. */
export const NAME = /^[a-z][a-z0-9_]{0,63}$/;
const SHA256_BYTES = 32;

/** What every statement of a person says beside what it is about. */
export interface StatementClaims {
  readonly dig: string;
  readonly role: string;
  readonly reason: string;
  readonly iat: number;
  readonly jti: string;
}

/** Whether there is a claim that is none of these. */
export function hasOthers(claims: JsonObject): boolean {
  return Object.keys(claims).some((name) => !['dig', 'role', 'reason', 'iat', 'jti'].includes(name));
}

/** Checks these claims. `malformed` makes the error out of what is wrong. */
export function statementClaims(
  { dig, role, reason, iat, jti }: JsonObject,
  malformed: (why: string) => Error,
): StatementClaims {
  if (typeof dig !== 'string' || decodeBase64url(dig)?.length !== SHA256_BYTES) {
    throw malformed('its dig is not a SHA-256 digest in base64url');
  }
  if (typeof role !== 'string' || !NAME.test(role)) throw malformed('its role is not the name of a role');
  if (typeof reason !== 'string' || reason.length > MAX_REASON) {
    throw malformed(`its reason is not a text of at most ${MAX_REASON} characters`);
  }
  if (typeof iat !== 'number' || !Number.isSafeInteger(iat) || iat < 0) {
    throw malformed('its iat is not a whole number of seconds');
  }
  if (typeof jti !== 'string' || !JTI.test(jti))
    throw malformed('its jti is not an id of 16 to 128 characters');
  return { dig, role, reason, iat, jti };
}
