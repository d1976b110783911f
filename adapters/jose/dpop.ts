import { createHash, createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { CompactSign } from 'jose';
import { canonicalJson } from '../../domain/canonical-json';
import { parseCompactJws } from '../../domain/compact-jws';
import type { CompactJwsForm } from '../../domain/compact-jws';
import { sha256Base64url } from '../../domain/digest';
import { AtbError } from '../../domain/error';
import { isJsonObject } from '../../domain/json';
import type { Json, JsonObject } from '../../domain/json';
import { algorithmOf, isSignedBy } from './signature';

/** What a DPoP proof must be for (RFC 9449 §4.3). */
export interface DpopExpectation {
  readonly method: string;
  /** The URL as the caller sees it; its query and fragment do not count. */
  readonly url: string;
  /** The access token, JWT-SVID or mandate that comes with the proof; undefined where there is none. */
  readonly token?: string;
  readonly now: Date;
}

/** A proof that was found valid. Whoever takes it must take each (`jkt`, `jti`) once, until `expiresAt`. */
export interface DpopProof {
  /** RFC 7638 thumbprint of the key, base64url SHA-256: what `cnf.jkt` must say. */
  readonly jkt: string;
  readonly jti: string;
  readonly issuedAt: Date;
  /** From then on the proof is too old to be taken. */
  readonly expiresAt: Date;
}

const TYP = 'dpop+jwt';
const FORM: CompactJwsForm = {
  typ: TYP,
  headerParameters: ['jwk'],
  maxLength: 8 * 1024,
  code: 'dpop_proof_invalid',
};

/** RFC 9449 §11.1: "acceptable on the order of seconds or minutes". */
const MAX_AGE_SECONDS = 60;
// Agents' hosts drift; a proof from further ahead was made to be used later.
const CLOCK_SKEW_SECONDS = 10;
const JTI = /^[\x21-\x7e]{16,256}$/;
const KEY_MEMBERS: Readonly<Record<string, readonly string[]>> = {
  EC: ['crv', 'kty', 'x', 'y'],
  OKP: ['crv', 'kty', 'x'],
};
/** RFC 7517 §4: what may stand beside the key, and changes nothing. */
const KEY_DESCRIPTIONS = ['alg', 'kid', 'use', 'key_ops'];

/**
 * Checks a DPoP proof (RFC 9449 §4.3): one of the algorithms that ATB knows, the key's own; no private key; this
 * method and URL; not older than a minute; and, where a token comes with it, its hash. Throws `dpop_proof_invalid`.
 */
export function verifyDpopProof(proof: string, expected: DpopExpectation): DpopProof {
  const { header, claims, signingInput, signature } = parseCompactJws(proof, FORM);
  const { key, jkt } = parseKey(header.jwk);
  if (header.alg !== algorithmOf(key)) throw invalid("its alg is not the key's (ES256, ES384 or EdDSA)");
  if (!isSignedBy(key, Buffer.from(signingInput), signature)) throw invalid('its signature does not verify');
  const { htm, htu, iat, jti, ath } = claims;
  if (htm !== expected.method) throw invalid('its htm is another method');
  if (typeof htu !== 'string' || target(htu) === undefined || target(htu) !== target(expected.url)) {
    throw invalid(`its htu is not ${expected.url}`);
  }
  if (typeof iat !== 'number' || !Number.isSafeInteger(iat) || iat < 0) throw invalid('its iat is no time');
  const age = expected.now.getTime() / 1000 - iat;
  // Said this way round so that a clock that tells no number refuses.
  if (!(age <= MAX_AGE_SECONDS)) throw invalid(`it is older than ${MAX_AGE_SECONDS} s`);
  if (!(age >= -CLOCK_SKEW_SECONDS)) throw invalid('it is from the future');
  if (typeof jti !== 'string' || !JTI.test(jti))
    throw invalid('its jti is not an id of 16 to 256 characters');
  if (expected.token !== undefined && ath !== sha256Base64url(expected.token)) {
    throw invalid('its ath is not the hash of the token');
  }
  return { jkt, jti, issuedAt: new Date(iat * 1000), expiresAt: new Date((iat + MAX_AGE_SECONDS) * 1000) };
}

/** Makes a proof with an EC P-256, P-384 or Ed25519 private key; what an agent sends in the header `DPoP`. */
export function signDpopProof(
  privateKey: KeyObject,
  { method, url, token, now }: DpopExpectation,
  jti: string,
): Promise<string> {
  const alg = algorithmOf(privateKey);
  if (alg === undefined) {
    throw new AtbError('configuration_invalid', 'a DPoP key is an EC P-256, P-384 or Ed25519 key');
  }
  const claims = {
    htm: method,
    htu: target(url) ?? url,
    iat: Math.floor(now.getTime() / 1000),
    jti,
    ...(token !== undefined && { ath: sha256Base64url(token) }),
  };
  const jwk = createPublicKey(privateKey).export({ format: 'jwk' });
  return new CompactSign(new TextEncoder().encode(canonicalJson(claims)))
    .setProtectedHeader({ alg, typ: TYP, jwk })
    .sign(privateKey);
}

/** RFC 9449 §4.3, 9: compared without query and fragment, after the normalization of RFC 3986 §6.2. */
function target(url: string): string | undefined {
  if (!URL.canParse(url)) return undefined;
  const { protocol, username, password, host, pathname } = new URL(url);
  return username === '' && password === '' ? `${protocol}//${host}${pathname}` : undefined;
}

function parseKey(jwk: Json | undefined): { readonly key: KeyObject; readonly jkt: string } {
  if (!isJsonObject(jwk)) throw invalid('its jwk is not an object');
  const { kty } = jwk;
  const members = typeof kty === 'string' && Object.hasOwn(KEY_MEMBERS, kty) ? KEY_MEMBERS[kty] : undefined;
  if (!members) throw invalid('its key is neither EC nor OKP');
  // RFC 9449 §4.3, 7: no private key. Nothing else that would name a key in a second way either.
  const superfluous = Object.keys(jwk).find((name) => ![...members, ...KEY_DESCRIPTIONS].includes(name));
  if (superfluous !== undefined) throw invalid('its jwk has a member that no public key has');
  const required: JsonObject = Object.fromEntries(members.map((name) => [name, jwk[name] ?? null]));
  let key: KeyObject;
  try {
    key = createPublicKey({ key: required, format: 'jwk' });
  } catch (cause) {
    throw invalid('its jwk is no public key', cause);
  }
  // RFC 7638 §3: over the one spelling of the key, so that a second one gives no second thumbprint.
  const spelling = canonicalJson(key.export({ format: 'jwk' }));
  if (spelling !== canonicalJson(required)) throw invalid('its jwk is not the one spelling of its key');
  return { key, jkt: createHash('sha256').update(spelling).digest('base64url') };
}

function invalid(why: string, cause?: unknown): AtbError {
  return new AtbError('dpop_proof_invalid', `the DPoP proof is not valid: ${why}`, { cause });
}
