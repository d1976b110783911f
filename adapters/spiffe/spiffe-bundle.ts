import { createPublicKey } from 'node:crypto';
import type { JsonWebKey, KeyObject } from 'node:crypto';
import { SpiffeError } from './error';
import { MAX_AUTHORITIES } from './pem';
import { isJwtAuthority } from './jwt-algorithm';
import type { JwtAuthority } from './jwt-algorithm';

/** The contents of a SPIFFE bundle, before they are anybody's: a bundle does not say of which trust domain it is. */
export interface BundleDocument {
  /** DER. */
  readonly x509Authorities: readonly Uint8Array[];
  readonly jwtAuthorities: JwtAuthorities;
  /** `spiffe_sequence`. */
  readonly sequence: bigint | undefined;
  readonly refreshHintSeconds: number | undefined;
}

/** Public keys by their `kid`. */
export type JwtAuthorities = ReadonlyMap<string, JwtAuthority>;

type Jwk = Readonly<Record<string, unknown>>;

/** Larger bundles than any trust domain has only cost time. */
export const MAX_BUNDLE_BYTES = 4 * 1024 * 1024;
/** Of JWT-SVID's algorithms (§2.1), whose keys are these; any other key is not ours to use. */
const KEY_TYPES: ReadonlySet<unknown> = new Set(['RSA', 'EC']);
const CURVES: ReadonlySet<unknown> = new Set(['P-256', 'P-384', 'P-521']);
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/**
 * Parses a SPIFFE bundle (SPIFFE Trust Domain and Bundle §4): a JWK Set with `x509-svid` and `jwt-svid` keys. Keys of
 * an unknown type or use are left out (§4.1.3, §4.2.1, §4.2.2), and so is an `x509-svid` key without a certificate
 * (X509-SVID §6.2). Throws `bundle_malformed`.
 */
export function parseBundleDocument(json: string): BundleDocument {
  const { keys, ...parameters } = parseJwkSet(json);
  const x509: Uint8Array[] = [];
  const jwt: Jwk[] = [];
  for (const key of keys) {
    if (key.use === 'x509-svid') x509.push(...certificateOf(key));
    if (key.use === 'jwt-svid') jwt.push(key);
  }
  return {
    x509Authorities: x509,
    jwtAuthorities: importKeys(jwt),
    sequence: sequenceOf(wholeNumber(parameters.spiffe_sequence, 'spiffe_sequence'), json),
    refreshHintSeconds: wholeNumber(parameters.spiffe_refresh_hint, 'spiffe_refresh_hint'),
  };
}

/**
 * Parses a JWT bundle as the Workload API gives it (SPIFFE Workload API §6.2.2): a JWK Set of keys for JWT-SVIDs alone,
 * which need not say so. Throws `bundle_malformed`.
 */
export function parseJwtBundle(json: string): JwtAuthorities {
  return importKeys(
    parseJwkSet(json).keys.filter(({ use }) => use === undefined || use === 'jwt-svid' || use === 'sig'),
  );
}

function parseJwkSet(json: string): Record<string, unknown> & { keys: readonly Jwk[] } {
  if (json.length > MAX_BUNDLE_BYTES) throw malformed('it is larger than 4 MiB');
  let set: unknown;
  try {
    set = JSON.parse(json);
  } catch (cause) {
    throw malformed('it is not JSON', cause);
  }
  const { keys } = (set ?? {}) as { keys?: unknown };
  if (!Array.isArray(keys)) throw malformed('it has no list "keys"');
  if (keys.length > MAX_AUTHORITIES) throw malformed(`it has more than ${MAX_AUTHORITIES} keys`);
  if (!keys.every((key) => typeof key === 'object' && key !== null)) {
    throw malformed('one of its keys is no object');
  }
  return set as Record<string, unknown> & { keys: readonly Jwk[] };
}

/** X509-SVID §6.1, §6.2: one certificate, and an entry without any is ignored. */
function certificateOf({ x5c }: Jwk): readonly Uint8Array[] {
  if (x5c === undefined || (Array.isArray(x5c) && x5c.length === 0)) return [];
  const [certificate, ...more] = Array.isArray(x5c) ? (x5c as readonly unknown[]) : [];
  // A second one MUST be ignored (§6.2) or MUST NOT be there (§6.1): go-spiffe refuses, and so do we.
  if (typeof certificate !== 'string' || more.length > 0 || !BASE64.test(certificate)) {
    throw malformed('a key for x509-svid has other than one certificate in x5c');
  }
  return [Buffer.from(certificate, 'base64')];
}

function importKeys(keys: readonly Jwk[]): JwtAuthorities {
  const authorities = new Map<string, JwtAuthority>();
  for (const key of keys) {
    if (typeof key.kty !== 'string') throw malformed('a key has no type');
    if (!KEY_TYPES.has(key.kty) || (key.kty === 'EC' && !CURVES.has(key.crv))) continue;
    // JWT-SVID §6.1: a key for JWT-SVIDs has an ID.
    if (typeof key.kid !== 'string' || key.kid === '') throw malformed('a key for jwt-svid has no ID (kid)');
    if (authorities.has(key.kid)) throw malformed('two keys for jwt-svid have the same ID');
    const authority = { key: importKey(key), algorithm: algorithmOf(key) };
    // RFC 7518 §3.3: none that is too small.
    if (isJwtAuthority(authority)) authorities.set(key.kid, authority);
  }
  return authorities;
}

function algorithmOf({ alg }: Jwk): string | undefined {
  if (alg !== undefined && typeof alg !== 'string') throw malformed('the algorithm of a key is no text');
  return alg;
}

function importKey({ kty, n, e, crv, x, y }: Jwk): KeyObject {
  try {
    // The public part alone: a private key has no business in a bundle.
    const jwk = (kty === 'RSA' ? { kty, n, e } : { kty, crv, x, y }) as JsonWebKey;
    return createPublicKey({ key: jwk, format: 'jwk' });
  } catch (cause) {
    throw malformed('a key for jwt-svid cannot be read', cause);
  }
}

/** Trust Domain and Bundle §4.1.1: with 64 bits at least, which a number in JavaScript does not have. */
function sequenceOf(sequence: number | undefined, json: string): bigint | undefined {
  if (sequence === undefined) return undefined;
  if (Number.isSafeInteger(sequence)) return BigInt(sequence);
  const digits = /"spiffe_sequence"\s*:\s*(\d+)/.exec(json)?.[1];
  if (digits === undefined || Number(digits) !== sequence)
    throw malformed('spiffe_sequence is not written as a whole number');
  return BigInt(digits);
}

function wholeNumber(value: unknown, name: string): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0) {
    throw malformed(`${name} is not a whole number`);
  }
  return value;
}

function malformed(why: string, cause?: unknown): SpiffeError {
  return new SpiffeError('bundle_malformed', `the SPIFFE bundle cannot be used: ${why}`, { cause });
}
