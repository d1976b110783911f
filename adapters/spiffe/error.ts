/**
 * Every way in which something of SPIFFE is refused or not to be had. The code is stable; what follows from it (an HTTP
 * status, a retry) is the caller's to say.
 */
export type SpiffeErrorCode =
  // A text that is no SPIFFE ID.
  | 'spiffe_id_malformed'
  // X.509.
  | 'certificate_missing'
  | 'certificate_malformed'
  | 'certificate_expired'
  | 'certificate_not_yet_valid'
  /** A certificate that is no SVID: an authority, the wrong key usage, not exactly one URI. */
  | 'svid_malformed'
  /** The chain does not lead to an authority of its trust domain. */
  | 'untrusted_svid'
  /** There is no bundle of that trust domain. */
  | 'trust_domain_unknown'
  // JWT.
  | 'jwt_malformed'
  | 'jwt_algorithm_refused'
  | 'jwt_key_unknown'
  | 'jwt_signature_invalid'
  | 'jwt_expired'
  | 'jwt_not_yet_valid'
  | 'jwt_audience_mismatch'
  | 'jwt_lifetime_too_long'
  // Bundles.
  | 'bundle_malformed'
  | 'bundle_endpoint_malformed'
  | 'bundle_endpoint_unavailable'
  // The Workload API.
  | 'endpoint_address_malformed'
  | 'workload_api_unavailable'
  /** The Workload API has no identity for this process (gRPC PermissionDenied). */
  | 'workload_api_denied'
  /** An answer that lacks what is mandatory, or contradicts itself. */
  | 'workload_api_answer_malformed'
  /** The peer of a TLS connection is somebody else than was asked for. */
  | 'peer_not_authorized';

/** `code` and `message` are safe to show, `cause` is for whoever runs the process. */
export class SpiffeError extends Error {
  override readonly name = 'SpiffeError';

  constructor(
    readonly code: SpiffeErrorCode,
    message: string,
    options: { readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
  }
}

/** By name, so that it holds across two copies of the library too. */
export function isSpiffeError(error: unknown): error is SpiffeError {
  return error instanceof Error && error.name === 'SpiffeError';
}
