import type { KeyObject } from 'node:crypto';

const CURVES: ReadonlySet<string | undefined> = new Set(['prime256v1', 'secp384r1', 'secp521r1']);
const MIN_RSA_BITS = 2048;
/** Larger ones only cost time. */
const MAX_RSA_BITS = 8192;
const MIN_RSA_EXPONENT = 3n;

/** Why nothing that is signed with a key proves anything; undefined where it does. */
export function weaknessOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string | undefined {
  const { modulusLength = 0, namedCurve, publicExponent = 0n } = asymmetricKeyDetails ?? {};
  if (asymmetricKeyType === 'ed25519') return undefined;
  if (asymmetricKeyType === 'ec') {
    return CURVES.has(namedCurve) ? undefined : 'its key is on a curve that is not P-256, P-384 or P-521';
  }
  if (asymmetricKeyType !== 'rsa' && asymmetricKeyType !== 'rsa-pss') {
    return 'its key is neither RSA nor EC nor Ed25519';
  }
  if (modulusLength < MIN_RSA_BITS) return `its key is smaller than ${MIN_RSA_BITS} bits`;
  if (modulusLength > MAX_RSA_BITS) return `its key is larger than ${MAX_RSA_BITS} bits`;
  const isGood = publicExponent >= MIN_RSA_EXPONENT && publicExponent % 2n === 1n;
  return isGood ? undefined : "its key's exponent proves nothing";
}
