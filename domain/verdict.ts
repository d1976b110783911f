/** The claims of a verdict: what an approver signs with the key of their own SVID (`typ` "poa-verdict+jwt"). */
export interface VerdictClaims {
  /** The request's id. */
  readonly req: string;
  /** Base64url SHA-256 of the RFC 8785 form of `to_approve`. */
  readonly dig: string;
  readonly verdict: 'approve' | 'reject' | 'release';
  /** The role in which the approver speaks. */
  readonly role: string;
  readonly reason: string;
  /** Facts that the approver vouches for. */
  readonly attests: readonly string[];
  /** NumericDate, RFC 7519 §2. */
  readonly iat: number;
  readonly jti: string;
}

export const VERDICT_TYP = 'poa-verdict+jwt';

/** A verdict whose signature verifies with the key of the certificate that it carries; that certificate is not judged yet. */
export interface SignedVerdict {
  readonly claims: VerdictClaims;
  /** `x5c` (RFC 7515 §4.1.6), leaf first, base64 DER. */
  readonly chain: readonly string[];
}
