import type { KeyObject } from 'node:crypto';
import { canonicalJson } from '../../domain/canonical-json';
import type { CompactJwsForm } from '../../domain/compact-jws';
import { AtbError } from '../../domain/error';
import { isJsonObject } from '../../domain/json';
import type { JsonObject } from '../../domain/json';
import type { SignedRequestOpener } from '../../domain/ports';
import { SIGNED_REQUEST_TYP } from '../../domain/signed-request';
import type { SignedRequest, SignedRequestClaims } from '../../domain/signed-request';
import { openSvidSigned, signWithSvid } from './svid-signature';

const FORM: CompactJwsForm = {
  typ: SIGNED_REQUEST_TYP,
  headerParameters: ['x5c'],
  // As large as a body may be.
  maxLength: 64 * 1024,
  code: 'signed_request_malformed',
};

const PATH = /^\/[A-Za-z0-9_/-]{1,256}$/;
const JTI = /^[A-Za-z0-9._~-]{16,128}$/;

/**
 * Signs a request with the private key of an agent's X.509-SVID. `chain` is that SVID's, DER, leaf first. Throws
 * `signed_request_malformed` for claims that nobody would accept, and `configuration_invalid` for another's key.
 */
export async function signRequest(
  privateKey: KeyObject,
  chain: readonly Uint8Array[],
  claims: SignedRequestClaims,
): Promise<string> {
  const text = canonicalJson(claims);
  parseClaims(JSON.parse(text) as JsonObject);
  return signWithSvid(privateKey, chain, SIGNED_REQUEST_TYP, text);
}

/**
 * Checks form, claims and signature of a signed request. Whose certificate it is, whether the request is fresh and
 * whether it came before is for the worker to say. Throws `signed_request_malformed`, `signed_request_invalid`.
 */
export function openSignedRequest(compact: string): SignedRequest {
  const { claims, chain, isSigned } = openSvidSigned(compact, FORM);
  const request = parseClaims(claims);
  if (!isSigned()) {
    throw new AtbError('signed_request_invalid', 'the signature is not by the key of the certificate in x5c');
  }
  return { claims: request, chain };
}

/** The port's way to say it. */
export const signedRequestOpener: SignedRequestOpener = { open: openSignedRequest };

function parseClaims(claims: JsonObject): SignedRequestClaims {
  const { aud, method, path, body, iat, jti, ...unknown } = claims;
  if (Object.keys(unknown).length > 0) throw malformed('it has a claim that does not belong there');
  if (typeof aud !== 'string' || aud === '') throw malformed('its aud is not a text');
  if (method !== 'POST') throw malformed('its method is not POST');
  if (typeof path !== 'string' || !PATH.test(path)) throw malformed('its path is not that of a call');
  if (!isJsonObject(body)) throw malformed('its body is not an object');
  if (typeof iat !== 'number' || !Number.isSafeInteger(iat) || iat < 0) {
    throw malformed('its iat is not a whole number of seconds');
  }
  if (typeof jti !== 'string' || !JTI.test(jti))
    throw malformed('its jti is not an id of 16 to 128 characters');
  return { aud, method, path, body, iat, jti };
}

function malformed(why: string): AtbError {
  return new AtbError('signed_request_malformed', `the signed request is malformed: ${why}`);
}
