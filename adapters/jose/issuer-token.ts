import { createRemoteJWKSet, decodeJwt, errors, jwtVerify } from 'jose';
import { AtbError } from '../../domain/error';
import type { TrustedIssuer } from '../../domain/identity-mapping';
import type { JsonObject } from '../../domain/json';
import type { IssuerTokens } from '../../domain/ports';

type Keys = ReturnType<typeof createRemoteJWKSet>;

const FETCH_TIMEOUT_MS = 2_000;
/** Between two fetches whatever unknown key ids come in (attack 35). */
const COOLDOWN_MS = 30_000;
/** A withdrawn key is trusted no longer than this. */
const KEYS_MAX_AGE_MS = 10 * 60_000;
const CLOCK_SKEW_SECONDS = 10;
const LONGEST_TOKEN = 16 * 1024;
/** Public-key signatures only, whatever policy's data says. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'EdDSA'];
const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];

/** Verifies tokens by the keys that their issuers publish; the keys are fetched when needed, and kept for minutes. */
export class RemoteIssuerTokens implements IssuerTokens {
  private readonly keys = new Map<string, Keys>();

  issuerOf(token: string): string {
    if (token.length > LONGEST_TOKEN) throw invalid(`it is longer than ${LONGEST_TOKEN} characters`);
    try {
      const { iss } = decodeJwt(token);
      if (typeof iss === 'string' && iss !== '') return iss;
    } catch (cause) {
      throw invalid('it is not a JWT', cause);
    }
    throw invalid('it names no issuer');
  }

  async verify(token: string, issuer: string, trusted: TrustedIssuer, at: Date): Promise<JsonObject> {
    const algorithms = trusted.algorithms.filter((name) => ALGORITHMS.includes(name));
    if (algorithms.length === 0) {
      throw new AtbError('configuration_invalid', `policy names no algorithm that ${issuer} may sign with`);
    }
    try {
      const { payload } = await jwtVerify(token, this.keysAt(trusted.jwksUri), {
        ...{ issuer, audience: trusted.audience, algorithms, currentDate: at },
        clockTolerance: CLOCK_SKEW_SECONDS,
        maxTokenAge: trusted.maxAgeSeconds,
        requiredClaims: ['sub', 'exp', 'iat'],
      });
      return payload as JsonObject;
    } catch (cause) {
      throw refusal(cause, issuer);
    }
  }

  private keysAt(uri: string): Keys {
    const known = this.keys.get(uri);
    if (known) return known;
    // Keys that somebody on the way could replace are nobody's (attack 16).
    const url = URL.canParse(uri) ? new URL(uri) : undefined;
    if (url?.protocol !== 'https:' && !(url?.protocol === 'http:' && LOOPBACK.includes(url.hostname))) {
      throw new AtbError('configuration_invalid', `keys are fetched over https only, not from ${uri}`);
    }
    const keys = createRemoteJWKSet(url, {
      timeoutDuration: FETCH_TIMEOUT_MS,
      cooldownDuration: COOLDOWN_MS,
      cacheMaxAge: KEYS_MAX_AGE_MS,
    });
    this.keys.set(uri, keys);
    return keys;
  }
}

function refusal(cause: unknown, issuer: string): AtbError {
  if (cause instanceof AtbError) return cause;
  const known = cause instanceof errors.JOSEError;
  if (known && !(cause instanceof errors.JWKSTimeout) && cause.code !== 'ERR_JOSE_GENERIC') {
    return invalid(cause.message, cause);
  }
  return new AtbError('identity_unavailable', `the keys of ${issuer} cannot be fetched`, { cause });
}

function invalid(why: string, cause?: unknown): AtbError {
  return new AtbError('token_invalid', `the token is not valid: ${why}`, { cause });
}
