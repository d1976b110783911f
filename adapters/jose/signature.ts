import { verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

/** The signature algorithms that ATB knows: RFC 7518 §3.4 and RFC 8037 §3.1 with Ed25519. */
export type SignatureAlgorithm = 'ES256' | 'ES384' | 'EdDSA';

interface Primitive {
  readonly digest: 'sha256' | 'sha384' | null;
  readonly signatureBytes: number;
}

const PRIMITIVES: Readonly<Record<SignatureAlgorithm, Primitive>> = {
  ES256: { digest: 'sha256', signatureBytes: 64 },
  ES384: { digest: 'sha384', signatureBytes: 96 },
  EdDSA: { digest: null, signatureBytes: 64 },
};

/** The one algorithm of a key, by its type and curve; undefined where ATB does not take such keys. */
export function algorithmOf(key: KeyObject): SignatureAlgorithm | undefined {
  if (key.asymmetricKeyType === 'ed25519') return 'EdDSA';
  const curve = key.asymmetricKeyDetails?.namedCurve;
  if (curve === 'prime256v1') return 'ES256';
  return curve === 'secp384r1' ? 'ES384' : undefined;
}

/**
 * Whether the signature over the bytes is the key's, by the algorithm that is the key's own: nothing that a sender
 * writes chooses it. ECDSA signatures are in the form of RFC 7518 §3.4.
 */
export function isSignedBy(key: KeyObject, content: Uint8Array, signature: Uint8Array): boolean {
  const algorithm = algorithmOf(key);
  if (algorithm === undefined) return false;
  const { digest, signatureBytes } = PRIMITIVES[algorithm];
  if (signature.length !== signatureBytes) return false;
  return verify(digest, content, { key, dsaEncoding: 'ieee-p1363' }, signature);
}
