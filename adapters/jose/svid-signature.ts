import { X509Certificate } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { CompactSign } from 'jose';
import { parseCompactJws } from '../../domain/compact-jws';
import type { CompactJwsForm } from '../../domain/compact-jws';
import { AtbError } from '../../domain/error';
import type { ErrorCode } from '../../domain/error';
import type { Json, JsonObject } from '../../domain/json';
import { algorithmOf, isSignedBy } from './signature';

const MAX_CHAIN = 8;

/** A JWS that carries the certificate chain of its signer (RFC 7515 §4.1.6), its form checked. */
export interface SvidSigned {
  readonly claims: JsonObject;
  /** Leaf first, base64 DER. Whose it is, and whether it may be trusted, is for the SVID's validation to say. */
  readonly chain: readonly [string, ...string[]];
  /** Whether the signature is by the key of the leaf. */
  readonly isSigned: () => boolean;
}

/**
 * Signs a statement with the private key of an X.509-SVID (ES256, ES384 or Ed25519, as the key is). `chain` is that
 * SVID's, DER, leaf first. Throws `configuration_invalid` for a key that is not the certificate's.
 */
export function signWithSvid(
  privateKey: KeyObject,
  chain: readonly Uint8Array[],
  typ: string,
  text: string,
): Promise<string> {
  const [leaf] = chain;
  const alg = algorithmOf(privateKey);
  if (!leaf || alg === undefined || !new X509Certificate(leaf).checkPrivateKey(privateKey)) {
    throw new AtbError('configuration_invalid', 'the private key is not the one of the certificate');
  }
  return new CompactSign(new TextEncoder().encode(text))
    .setProtectedHeader({ alg, typ, x5c: chain.map((der) => Buffer.from(der).toString('base64')) })
    .sign(privateKey);
}

/** Takes such a JWS apart. `form` must ask for `x5c`. Throws the form's code. */
export function openSvidSigned(compact: string, form: CompactJwsForm): SvidSigned {
  const { header, claims, signingInput, signature } = parseCompactJws(compact, form);
  const chain = parseChain(header.x5c, form.code);
  const key = publicKeyOf(chain[0], form.code);
  if (header.alg !== algorithmOf(key)) {
    throw malformed(form.code, "its alg is not the one of the certificate's key (ES256, ES384 or EdDSA)");
  }
  return { claims, chain, isSigned: () => isSignedBy(key, Buffer.from(signingInput), signature) };
}

function parseChain(x5c: Json | undefined, code: ErrorCode): readonly [string, ...string[]] {
  if (!Array.isArray(x5c)) throw malformed(code, 'its x5c is not a list');
  const [leaf, ...others] = (x5c as readonly Json[]).map((element) => {
    // RFC 7515 §4.1.6: base64 here, with padding, and not base64url.
    if (typeof element !== 'string' || Buffer.from(element, 'base64').toString('base64') !== element) {
      throw malformed(code, 'its x5c is not a list of base64 texts');
    }
    return element;
  });
  if (leaf === undefined || others.length >= MAX_CHAIN)
    throw malformed(code, `its x5c has none or over ${MAX_CHAIN} elements`);
  return [leaf, ...others];
}

function publicKeyOf(leaf: string, code: ErrorCode): KeyObject {
  try {
    return new X509Certificate(Buffer.from(leaf, 'base64')).publicKey;
  } catch (cause) {
    throw malformed(code, 'the first element of its x5c is not a certificate', cause);
  }
}

function malformed(code: ErrorCode, why: string, cause?: unknown): AtbError {
  return new AtbError(code, `the signed statement is malformed: ${why}`, { cause });
}
