import { AtbError } from './error';
import { isJsonObject } from './json';
import type { Json, JsonObject } from './json';

/** Whose tokens: those of platforms that host agents, or those of the company's identity provider for people. */
export type IssuerUse = 'platforms' | 'people';

export interface IdentityQuestion {
  readonly use: IssuerUse;
  /** `iss` of the token. */
  readonly issuer: string;
  /** The claims of a verified token; null to learn how tokens of this issuer are verified. */
  readonly claims: JsonObject | null;
}

/** How an issuer's tokens are verified. All of it is policy's data. */
export interface TrustedIssuer {
  readonly jwksUri: string;
  readonly audience: string;
  /** JWS algorithms (RFC 7518 §3.1) that it signs with. */
  readonly algorithms: readonly string[];
  /** How old a token may be. */
  readonly maxAgeSeconds: number;
  /** How long what is given for a token lives. */
  readonly ttlSeconds: number;
}

export interface IdentityAnswer {
  /** Null where policy does not know the issuer. */
  readonly issuer: TrustedIssuer | null;
  /** Whom the claims name; anything but one is nobody. */
  readonly spiffeIds: readonly string[];
}

/** Reads an answer of `atb/identity/answer`. Throws `policy_unavailable` where it is not of the form. */
export function parseIdentityAnswer(value: unknown): IdentityAnswer {
  const { issuer, spiffe_ids: spiffeIds } = isJsonObject(value) ? value : {};
  if (!isTexts(spiffeIds) || issuer === undefined) throw malformed();
  if (issuer === null) return { issuer: null, spiffeIds };
  const { jwks_uri, audience, algorithms, max_age_seconds, ttl_seconds } = isJsonObject(issuer) ? issuer : {};
  if (
    typeof jwks_uri !== 'string' ||
    typeof audience !== 'string' ||
    audience === '' ||
    !isTexts(algorithms) ||
    !isPositive(max_age_seconds) ||
    !isPositive(ttl_seconds)
  ) {
    throw malformed();
  }
  return {
    issuer: {
      ...{ jwksUri: jwks_uri, audience, algorithms },
      ...{ maxAgeSeconds: max_age_seconds, ttlSeconds: ttl_seconds },
    },
    spiffeIds,
  };
}

function isTexts(value: Json | undefined): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function isPositive(value: Json | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0;
}

function malformed(): AtbError {
  return new AtbError('policy_unavailable', 'policy answered without a proper identity');
}
