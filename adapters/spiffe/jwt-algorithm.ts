import type { KeyObject } from 'node:crypto';

/** The curve that each algorithm of RFC 7518 §3.4 is for. */
const CURVES: ReadonlyMap<string, string> = new Map([
  ['ES256', 'prime256v1'],
  ['ES384', 'secp384r1'],
  ['ES512', 'secp521r1'],
]);
/** RFC 7518 §3.3, §3.5; larger keys than the second only cost time. */
const MIN_RSA_BITS = 2048;
const MAX_RSA_BITS = 8192;

/** JWT-SVID §2.1: RFC 7518 §3.3, §3.4 and §3.5. No HMAC, no EdDSA, never none. */
export const JWT_ALGORITHMS: readonly string[] = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...CURVES.keys(),
];

/** Whether the key may verify signatures of that algorithm. */
export function isKeyFor({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject, algorithm: string): boolean {
  const curve = CURVES.get(algorithm);
  if (curve !== undefined) return asymmetricKeyType === 'ec' && asymmetricKeyDetails?.namedCurve === curve;
  const bits = asymmetricKeyDetails?.modulusLength ?? 0;
  return (
    JWT_ALGORITHMS.includes(algorithm) &&
    asymmetricKeyType === 'rsa' &&
    bits >= MIN_RSA_BITS &&
    bits <= MAX_RSA_BITS
  );
}

/** Whether JWT-SVIDs can be signed with such a key at all. */
export function isJwtAuthorityKey(key: KeyObject): boolean {
  return JWT_ALGORITHMS.some((algorithm) => isKeyFor(key, algorithm));
}
