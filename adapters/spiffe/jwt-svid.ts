import { createHash } from 'node:crypto';
import { compactVerify, decodeJwt, decodeProtectedHeader, errors } from 'jose';
import type { JWTPayload } from 'jose';
import { SpiffeError } from './error';
import { JWT_ALGORITHMS, isAuthorityFor } from './jwt-algorithm';
import type { JwtAuthorities } from './spiffe-bundle';
import { parseWorkloadId } from './spiffe-id';
import type { SpiffeId } from './spiffe-id';
import type { JwtBundleSource } from './trust-bundle';

/** A JWT-SVID that was found valid. */
export interface JwtSvid {
  readonly id: SpiffeId;
  /** The ID as text. */
  readonly spiffeId: string;
  readonly audience: readonly string[];
  readonly expiresAt: Date;
  readonly claims: Readonly<Record<string, unknown>>;
  /**
   * Base64url SHA-256 of what was signed: by this, not by the token's bytes, is known whether it came before. An ECDSA
   * signature can be turned into another good one by anybody.
   */
  readonly digest: string;
}

export interface JwtSvidOptions {
  /** What the validator is known by: one of the token's audiences must be it (JWT-SVID §3.2). */
  readonly audience: string;
  /** How long the token may be good for in all; an hour unless told. The specification sets no limit (§3.3). */
  readonly maxLifetimeSeconds?: number;
  /** How far the issuer's clock may be off; 0 unless told. */
  readonly clockSkewSeconds?: number;
}

const MAX_LENGTH = 16 * 1024;
const MAX_LIFETIME_SECONDS = 3_600;
/** Canonical base64url has no unused bits set: otherwise one token could be written in several ways. */
const PART = /^(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{2,3})?$/;
/** JWT-SVID §2: no other header than these may be there. */
const HEADERS: ReadonlySet<string> = new Set(['alg', 'kid', 'typ']);
/** JWT-SVID §2.3. */
const TYPES: ReadonlySet<unknown> = new Set([undefined, 'JWT', 'JOSE']);
/** Without a `kid` every key that fits is tried; bundles with more are no trust domain's. */
const MAX_KEYS_TRIED = 16;

/**
 * Validates a JWT-SVID (SPIFFE JWT-SVID §2–5) at a time: it must be signed by a key of the bundle of its subject's own
 * trust domain. Throws `jwt_malformed`, `jwt_algorithm_refused`, `spiffe_id_malformed`, `trust_domain_unknown`,
 * `jwt_key_unknown`, `jwt_signature_invalid`, `jwt_expired`, `jwt_not_yet_valid`, `jwt_audience_mismatch`,
 * `jwt_lifetime_too_long`.
 */
export async function validateJwtSvid(
  token: string,
  bundles: JwtBundleSource,
  at: Date,
  options: JwtSvidOptions,
): Promise<JwtSvid> {
  const header = readJwtHeader(token);
  const claims = reading(() => decodeJwt(token));
  const id = parseWorkloadId(subjectOf(claims));
  await verifyJwtSignature(token, header, bundles.jwtAuthoritiesOf(id.trustDomain));
  const audience = audienceOf(claims);
  if (!audience.includes(options.audience)) {
    throw new SpiffeError('jwt_audience_mismatch', 'the JWT-SVID is for another audience');
  }
  return {
    id,
    spiffeId: id.uri,
    audience,
    expiresAt: checkTimes(claims, at, options),
    claims,
    digest: createHash('sha256')
      .update(token.slice(0, token.lastIndexOf('.')))
      .digest('base64url'),
  };
}

interface JwtHeader {
  readonly alg: string;
  readonly kid: string | undefined;
}

/**
 * The header (§2) of a compact serialization (§5.1), before anything in it is believed. Throws `jwt_malformed`,
 * `jwt_algorithm_refused`.
 */
export function readJwtHeader(token: string): JwtHeader {
  if (token.length > MAX_LENGTH) throw malformed('it is longer than 16 KiB');
  const parts = token.split('.');
  if (parts.length !== 3 || !parts.every(isCanonical)) {
    throw malformed('it is not three parts in base64url');
  }
  const header = reading(() => decodeProtectedHeader(token));
  const { alg, typ, kid } = header;
  if (typeof alg !== 'string' || !JWT_ALGORITHMS.includes(alg)) {
    throw new SpiffeError('jwt_algorithm_refused', 'the JWT-SVID is not signed with an algorithm for them');
  }
  if (!TYPES.has(typ)) throw malformed('its type (typ) is neither JWT nor JOSE');
  if (kid !== undefined && (typeof kid !== 'string' || kid === '')) throw malformed('its key ID is no text');
  if (!Object.keys(header).every((name) => HEADERS.has(name))) {
    throw malformed('its header has more than alg, kid and typ');
  }
  return { alg, kid };
}

function isCanonical(part: string): boolean {
  return PART.test(part) && Buffer.from(part, 'base64url').toString('base64url') === part;
}

function reading<T>(run: () => T): T {
  try {
    return run();
  } catch (cause) {
    throw malformed('it is not a JWT', cause);
  }
}

/** §3.1. */
function subjectOf({ sub }: JWTPayload): string {
  if (typeof sub !== 'string') throw malformed('it has no subject');
  return sub;
}

/**
 * Verifies the signature alone (RFC 7515 §5.2), with the key that the header names, or with every key that its algorithm
 * may use where it names none (JWT-SVID §2.2: `kid` is optional). Throws `jwt_key_unknown`, `jwt_algorithm_refused`,
 * `jwt_signature_invalid`.
 */
export async function verifyJwtSignature(
  token: string,
  { alg, kid }: JwtHeader,
  authorities: JwtAuthorities,
): Promise<void> {
  const named = kid === undefined ? [...authorities.values()] : [authorities.get(kid)];
  const known = named.filter((authority) => authority !== undefined).slice(0, MAX_KEYS_TRIED);
  if (known.length === 0) throw new SpiffeError('jwt_key_unknown', 'the key of the JWT-SVID is not known');
  const fitting = known.filter((authority) => isAuthorityFor(authority, alg));
  if (fitting.length === 0) {
    throw new SpiffeError('jwt_algorithm_refused', 'the algorithm of the JWT-SVID is not that of its key');
  }
  for (const { key } of fitting) {
    try {
      await compactVerify(token, key, { algorithms: [alg] });
      return;
    } catch (error) {
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) {
        throw malformed('it cannot be read', error);
      }
    }
  }
  throw new SpiffeError('jwt_signature_invalid', 'the signature of the JWT-SVID does not verify');
}

/** §3.2, RFC 7519 §4.1.3: one audience, or a list of them. */
function audienceOf({ aud }: JWTPayload): readonly string[] {
  const audience: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
  if (!audience.every((one) => typeof one === 'string')) throw malformed('it has no audience');
  return audience;
}

/** §3.3, RFC 7519 §4.1.4 to §4.1.6. Answers when it expires. */
function checkTimes(
  claims: JWTPayload,
  at: Date,
  { maxLifetimeSeconds = MAX_LIFETIME_SECONDS, clockSkewSeconds = 0 }: JwtSvidOptions,
): Date {
  const now = at.getTime() / 1000;
  const exp = timeOf(claims.exp);
  if (exp === undefined) throw malformed('it does not say when it expires');
  // Said this way round so that a clock that tells no time refuses.
  if (!(now < exp + clockSkewSeconds)) throw new SpiffeError('jwt_expired', 'the JWT-SVID has expired');
  if (!(now >= (timeOf(claims.nbf) ?? -Infinity) - clockSkewSeconds)) {
    throw new SpiffeError('jwt_not_yet_valid', 'the JWT-SVID is not valid yet');
  }
  // One that says that it was issued in the future, or does not say when, is good for as long as it has left.
  const issuedAt = Math.min(timeOf(claims.iat) ?? now, now);
  if (!(exp - issuedAt <= maxLifetimeSeconds)) {
    throw new SpiffeError(
      'jwt_lifetime_too_long',
      `the JWT-SVID is good for more than ${maxLifetimeSeconds} s`,
    );
  }
  return new Date(exp * 1000);
}

function timeOf(value: unknown): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !Number.isFinite(value)) throw malformed('one of its times is no number');
  return value;
}

function malformed(why: string, cause?: unknown): SpiffeError {
  return new SpiffeError('jwt_malformed', `the JWT-SVID cannot be used: ${why}`, { cause });
}
