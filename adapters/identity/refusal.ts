import { AtbError } from '../../domain/error';
import type { ErrorCode } from '../../domain/error';
import { isSpiffeError } from '../spiffe';
import type { SpiffeErrorCode } from '../spiffe';

/** What each of the SPIFFE library's refusals is to ATB. */
const CODES = {
  spiffe_id_malformed: 'spiffe_id_malformed',
  certificate_missing: 'certificate_missing',
  certificate_malformed: 'certificate_malformed',
  certificate_expired: 'certificate_expired',
  certificate_not_yet_valid: 'certificate_not_yet_valid',
  svid_malformed: 'svid_malformed',
  untrusted_svid: 'untrusted_svid',
  trust_domain_unknown: 'trust_domain_unknown',
  jwt_malformed: 'token_invalid',
  jwt_algorithm_refused: 'token_invalid',
  jwt_key_unknown: 'untrusted_svid',
  jwt_signature_invalid: 'token_invalid',
  jwt_expired: 'token_invalid',
  jwt_not_yet_valid: 'token_invalid',
  jwt_audience_mismatch: 'token_invalid',
  jwt_lifetime_too_long: 'token_invalid',
  bundle_malformed: 'configuration_invalid',
  bundle_endpoint_malformed: 'configuration_invalid',
  bundle_endpoint_unavailable: 'identity_unavailable',
  endpoint_address_malformed: 'configuration_invalid',
  workload_api_unavailable: 'identity_unavailable',
  workload_api_denied: 'identity_unavailable',
  workload_api_answer_malformed: 'identity_unavailable',
  peer_not_authorized: 'untrusted_svid',
} as const satisfies Record<SpiffeErrorCode, ErrorCode>;

/** Runs something of the SPIFFE library; what it refuses is refused with a code of ATB. */
export function inAtbTerms<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw atbErrorOf(error);
  }
}

/** An error of the SPIFFE library as one of ATB; any other stays as it is. */
export function atbErrorOf(error: unknown): unknown {
  return isSpiffeError(error) ? new AtbError(CODES[error.code], error.message, { cause: error }) : error;
}
