import type { JsonObject } from './json';

/** The media type of a body that is a signed request; `typ` is the same without `application/` (RFC 7515 §4.1.9). */
export const SIGNED_REQUEST_MEDIA_TYPE = 'application/poa-request+jwt';
export const SIGNED_REQUEST_TYP = 'poa-request+jwt';

/** What an agent signs with the key of its X.509-SVID, so that nobody on the way can ask in its name. */
export interface SignedRequestClaims {
  /** AgentAuth's issuer: the SPIFFE ID in the mandates' `iss`. */
  readonly aud: string;
  /** Only POST is signed. */
  readonly method: 'POST';
  /** `/issue` or `/requests/<id>/collect`. */
  readonly path: string;
  /** The body that would have been sent unsigned; empty where the call has none. */
  readonly body: JsonObject;
  /** NumericDate, RFC 7519 §2. */
  readonly iat: number;
  readonly jti: string;
}

/** A request whose signature verifies with the key of the certificate in it; that certificate is not judged yet. */
export interface SignedRequest {
  readonly claims: SignedRequestClaims;
  /** `x5c` (RFC 7515 §4.1.6), leaf first, base64 DER. */
  readonly chain: readonly [string, ...string[]];
}

export const ISSUE_PATH = '/issue';

export function collectPath(requestId: string): string {
  return `/requests/${requestId}/collect`;
}
