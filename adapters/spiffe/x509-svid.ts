import { createHash } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { SpiffeError } from './error';
import { parseWorkloadId } from './spiffe-id';
import type { SpiffeId } from './spiffe-id';
import { parseCertificate } from './certificate';
import type { Certificate } from './certificate';
import { findCertificationPath } from './certification-path';
import type { PathOptions } from './certification-path';
import type { X509BundleSource } from './trust-bundle';
import { validityFault } from './validity';
import { LEAF_RULES, MAX_CHAIN, signingFaultOf } from './x509-svid-rules';

/** An X.509-SVID that was found valid. */
export interface X509Svid {
  readonly id: SpiffeId;
  /** The ID as text. */
  readonly spiffeId: string;
  readonly leafDer: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly publicKey: KeyObject;
  /** Base64url SHA-256 of the leaf's DER (RFC 8705 §3.1). */
  readonly x5tS256: string;
}

/**
 * Validates an X.509-SVID (SPIFFE X509-SVID §5) at a time. `chain` is DER, leaf first; it must lead to an authority of
 * the leaf's own trust domain. Throws `certificate_missing`, `certificate_malformed`, `svid_malformed` (a leaf that is
 * no SVID: an authority, the wrong key usage, not exactly one URI), `spiffe_id_malformed`, `trust_domain_unknown`,
 * `certificate_expired`, `certificate_not_yet_valid`, `untrusted_svid`.
 */
export function validateX509Svid(
  chain: readonly Uint8Array[],
  bundles: X509BundleSource,
  at: Date,
  options: PathOptions = { purpose: 'clientAuth' },
): X509Svid {
  return validate(chain, bundles, at, options).svid;
}

interface Validated {
  readonly svid: X509Svid;
  /** Those that vouched for it: it is good for as long as its trust domain has the same. */
  readonly authorities: readonly Certificate[];
  /** When every certificate of the path is valid. */
  readonly from: Date;
  readonly until: Date;
}

function validate(
  chain: readonly Uint8Array[],
  bundles: X509BundleSource,
  at: Date,
  options: PathOptions,
): Validated {
  const [leafDer, ...others] = chain;
  if (!leafDer) throw new SpiffeError('certificate_missing', 'there is no client certificate');
  if (chain.length > MAX_CHAIN) {
    throw new SpiffeError('certificate_malformed', `the certificate chain is longer than ${MAX_CHAIN}`);
  }
  const leaf = parseCertificate(leafDer);
  const id = spiffeIdOf(leaf);
  checkUsable(leaf);
  const authorities = bundles.authoritiesOf(id.trustDomain);
  checkTime(leaf, at);
  const path = findCertificationPath(leaf, others.map(parseCertificate), authorities, at, {
    ...options,
    signingFaultOf,
  });
  const svid = {
    id,
    spiffeId: id.uri,
    leafDer,
    notBefore: leaf.notBefore,
    notAfter: leaf.notAfter,
    publicKey: leaf.publicKey,
    x5tS256: createHash('sha256').update(leafDer).digest('base64url'),
  };
  return {
    svid,
    authorities,
    from: new Date(Math.max(...path.map(({ notBefore }) => notBefore.getTime()))),
    until: new Date(Math.min(...path.map(({ notAfter }) => notAfter.getTime()))),
  };
}

/** What X509-SVID §2 to §5 asks of a leaf, and its one SPIFFE ID. */
function spiffeIdOf(leaf: Certificate): SpiffeId {
  for (const { code, faultOf } of LEAF_RULES) {
    const fault = faultOf(leaf);
    if (fault === undefined) continue;
    if (code === 'spiffe_id_malformed') throw new SpiffeError(code, fault);
    throw new SpiffeError(code, `the certificate is not an X.509-SVID: ${fault}`);
  }
  return parseWorkloadId(leaf.uris[0] ?? '');
}

function checkUsable({ faults, hasStrongSignature }: Certificate): void {
  const fault = faults[0] ?? (hasStrongSignature ? undefined : 'it is signed with a weak algorithm');
  if (fault === undefined) return;
  throw new SpiffeError('certificate_malformed', `the certificate cannot be used: ${fault}`);
}

function checkTime({ notBefore, notAfter }: Certificate, at: Date): void {
  const fault = validityFault(notBefore, notAfter, at);
  if (fault === 'expired') throw new SpiffeError('certificate_expired', 'the certificate has expired');
  if (fault) throw new SpiffeError('certificate_not_yet_valid', 'the certificate is not valid yet');
}

const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

export interface ValidatorOptions {
  /** What the keys are used for; `clientAuth` unless told. */
  readonly purpose?: PathOptions['purpose'];
  /** How many good chains are remembered; 1024 unless told. */
  readonly capacity?: number;
}

/**
 * Validates SVIDs and remembers those that were good: peers come again and again with the same chain. Time is checked
 * every time, and so is whether the bundle is still the same. Only so many are remembered, the most recently used.
 */
export class X509SvidValidator {
  /** In order of use, by the digest of the chain. */
  private readonly known = new Map<string, Validated>();
  private readonly purpose: PathOptions['purpose'];
  private readonly capacity: number;

  constructor(
    private readonly bundles: X509BundleSource,
    { purpose = 'clientAuth', capacity = 1024 }: ValidatorOptions = {},
  ) {
    this.purpose = purpose;
    this.capacity = capacity;
  }

  /** As validateX509Svid; `chain` is base64 DER. */
  validate(chain: readonly string[], at: Date): X509Svid {
    return this.judge(digestOf(chain), () => chain.map(decodeBase64), at);
  }

  /** As validateX509Svid. */
  validateDer(chain: readonly Uint8Array[], at: Date): X509Svid {
    return this.judge(digestOf(chain), () => chain, at);
  }

  private judge(key: string, chain: () => readonly Uint8Array[], at: Date): X509Svid {
    const known = this.known.get(key);
    if (known && known.from <= at && at <= known.until && this.stillVouchedFor(known)) {
      this.remember(key, known);
      return known.svid;
    }
    const validated = validate(chain(), this.bundles, at, { purpose: this.purpose });
    this.remember(key, validated);
    return validated.svid;
  }

  /** Bundles change as a whole: other authorities are another list. Throws `trust_domain_unknown`. */
  private stillVouchedFor({ svid, authorities }: Validated): boolean {
    return this.bundles.authoritiesOf(svid.id.trustDomain) === authorities;
  }

  private remember(key: string, validated: Validated): void {
    this.known.delete(key);
    this.known.set(key, validated);
    if (this.known.size <= this.capacity) return;
    for (const oldest of this.known.keys()) {
      this.known.delete(oldest);
      return;
    }
  }
}

/** Each part is digested with its length, so that no two chains are one text. */
function digestOf(chain: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of chain) hash.update(`${typeof part} ${part.length} `).update(part);
  return hash.digest('base64');
}

function decodeBase64(text: string): Uint8Array {
  const der = Buffer.from(text, 'base64');
  if (!BASE64.test(text) || der.toString('base64') !== text) {
    throw new SpiffeError('certificate_malformed', 'a certificate of the chain is not base64');
  }
  return der;
}
