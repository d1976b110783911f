/** A case of x509-limbo, as published. */
export interface LimboCase {
  readonly id: string;
  readonly trusted_certs: readonly string[];
  readonly untrusted_intermediates: readonly string[];
  readonly peer_certificate: string;
  readonly validation_time: string | null;
  readonly validation_kind: 'SERVER' | 'CLIENT';
  readonly max_chain_depth: number | null;
  readonly expected_result: 'SUCCESS' | 'FAILURE';
}

const IDENTIFIERS =
  'an SVID needs no key identifiers: RFC 5280 §6.1 asks for none, and they prove nothing; with --chain-only they are asked for';

export const LIMBO_NOT_FOR_US: Readonly<Record<string, string>> = {
  'rfc5280::aki::leaf-missing-aki': IDENTIFIERS,
  'rfc5280::aki::intermediate-missing-aki': IDENTIFIERS,
  'rfc5280::aki::cross-signed-root-missing-aki': IDENTIFIERS,
  'rfc5280::ski::root-missing-ski': IDENTIFIERS,
  'rfc5280::ski::intermediate-missing-ski': IDENTIFIERS,
};
