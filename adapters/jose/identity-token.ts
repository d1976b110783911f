import type { KeyObject } from 'node:crypto';
import { CompactSign } from 'jose';
import { canonicalJson } from '../../domain/canonical-json';
import { decodeBase64url, parseCompactJws } from '../../domain/compact-jws';
import type { CompactJwsForm } from '../../domain/compact-jws';
import { AtbError } from '../../domain/error';
import { isJsonObject } from '../../domain/json';
import type { IdentityTokenClaims, IdentityTokenSigner } from '../../domain/ports';
import { parseAtbSpiffeId } from '../../domain/spiffe-id';
import { isSignedBy } from './signature';

/** Its own type, so that it is never taken for a mandate, which the same key signs (RFC 8725 §3.11). */
export const IDENTITY_TYP = 'poa-identity+jwt';

const FORM: CompactJwsForm = {
  typ: IDENTITY_TYP,
  headerParameters: ['kid'],
  maxLength: 8 * 1024,
  code: 'token_invalid',
};
const SHA256_BYTES = 32;

/** Signs identity tokens with the worker's key. */
export function identityTokenSigner(privateKey: KeyObject, kid: string): IdentityTokenSigner {
  return {
    sign: (claims) =>
      new CompactSign(new TextEncoder().encode(canonicalJson(claims)))
        .setProtectedHeader({ alg: 'EdDSA', typ: IDENTITY_TYP, kid })
        .sign(privateKey),
  };
}

/** Checks form, signature, issuer, audience (both are AgentAuth) and times of an identity token. Throws `token_invalid`. */
export function verifyIdentityToken(
  token: string,
  keys: ReadonlyMap<string, KeyObject>,
  agentauth: string,
  at: Date,
): IdentityTokenClaims {
  const { header, claims, signingInput, signature } = parseCompactJws(token, FORM);
  const key = typeof header.kid === 'string' ? keys.get(header.kid) : undefined;
  if (header.alg !== 'EdDSA' || !key) throw invalid('its key is unknown');
  if (!isSignedBy(key, Buffer.from(signingInput), signature)) throw invalid('its signature does not verify');
  const { iss, aud, sub, iat, exp, jti, cnf } = claims;
  const jkt = isJsonObject(cnf) ? cnf.jkt : undefined;
  if (iss !== agentauth || aud !== agentauth) throw invalid('it was issued by or for somebody else');
  if (typeof sub !== 'string' || typeof jti !== 'string') throw invalid('it names nobody');
  if (typeof iat !== 'number' || typeof exp !== 'number') throw invalid('it has no times');
  if (typeof jkt !== 'string' || decodeBase64url(jkt)?.length !== SHA256_BYTES) {
    throw invalid('it is not bound to a key');
  }
  // Said this way round so that a clock that tells no time refuses.
  if (!(at.getTime() / 1000 < exp)) throw invalid('it has expired');
  return { iss, aud, sub: parseAtbSpiffeId(sub).uri, iat, exp, jti, cnf: { jkt } };
}

function invalid(why: string): AtbError {
  return new AtbError('token_invalid', `the identity token is not valid: ${why}`);
}
