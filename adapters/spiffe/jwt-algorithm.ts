import type { KeyObject } from 'node:crypto';
import { weaknessOf } from './key-strength';

/** A key that verifies JWT-SVIDs. */
export interface JwtAuthority {
  readonly key: KeyObject;
  /** The one algorithm that it is for, where the bundle says (RFC 7517 §4.4). */
  readonly algorithm: string | undefined;
}

/** The curve that each algorithm of RFC 7518 §3.4 is for. */
const CURVES: ReadonlyMap<string, string> = new Map([
  ['ES256', 'prime256v1'],
  ['ES384', 'secp384r1'],
  ['ES512', 'secp521r1'],
]);

/** JWT-SVID §2.1: RFC 7518 §3.3, §3.4 and §3.5. No HMAC, no EdDSA, never none. */
export const JWT_ALGORITHMS: readonly string[] = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...CURVES.keys(),
];

/** Whether the key may verify signatures of that algorithm. */
export function isAuthorityFor({ key, algorithm }: JwtAuthority, wanted: string): boolean {
  if (algorithm !== undefined && algorithm !== wanted) return false;
  if (!JWT_ALGORITHMS.includes(wanted) || weaknessOf(key) !== undefined) return false;
  const curve = CURVES.get(wanted);
  return curve === undefined
    ? key.asymmetricKeyType === 'rsa'
    : key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === curve;
}

/** Whether JWT-SVIDs can be signed with such a key at all. */
export function isJwtAuthority(authority: JwtAuthority): boolean {
  return JWT_ALGORITHMS.some((algorithm) => isAuthorityFor(authority, algorithm));
}
