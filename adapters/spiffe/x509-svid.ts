import { createHash } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { AtbError } from '../../domain/error';
import { parseAtbSpiffeId } from '../../domain/spiffe-id';
import type { SpiffeId } from '../../domain/spiffe-id';
import { parseCertificate } from './certificate';
import type { Certificate } from './certificate';
import { findCertificationPath } from './certification-path';
import type { PathOptions } from './certification-path';
import type { TrustBundleSet } from './trust-bundle';

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

const MAX_CHAIN = 8;

/**
 * Validates an X.509-SVID (SPIFFE X509-SVID §5) at a time. `chain` is DER, leaf first; it must lead to an authority of
 * the leaf's own trust domain. Throws `certificate_missing`, `certificate_malformed`, `svid_malformed` (a leaf that is
 * no SVID: an authority, the wrong key usage, not exactly one URI), `spiffe_id_malformed`, `trust_domain_unknown`,
 * `certificate_expired`, `certificate_not_yet_valid`, `untrusted_svid`.
 */
export function validateX509Svid(
  chain: readonly Uint8Array[],
  bundles: TrustBundleSet,
  at: Date,
  options: PathOptions = { purpose: 'clientAuth' },
): X509Svid {
  return validate(chain, bundles, at, options).svid;
}

interface Validated {
  readonly svid: X509Svid;
  /** When every certificate of the path is valid. */
  readonly from: Date;
  readonly until: Date;
}

function validate(
  chain: readonly Uint8Array[],
  bundles: TrustBundleSet,
  at: Date,
  options: PathOptions,
): Validated {
  const [leafDer, ...others] = chain;
  if (!leafDer) throw new AtbError('certificate_missing', 'there is no client certificate');
  if (chain.length > MAX_CHAIN) {
    throw new AtbError('certificate_malformed', `the certificate chain is longer than ${MAX_CHAIN}`);
  }
  const leaf = parseCertificate(leafDer);
  const id = spiffeIdOf(leaf, options.purpose);
  const authorities = bundles.authoritiesOf(id.trustDomain);
  checkTime(leaf, at);
  const path = findCertificationPath(leaf, others.map(parseCertificate), authorities, at, options);
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
    from: new Date(Math.max(...path.map(({ notBefore }) => notBefore.getTime()))),
    until: new Date(Math.min(...path.map(({ notAfter }) => notAfter.getTime()))),
  };
}

/** What X509-SVID §4 asks of a leaf, and its one SPIFFE ID (§2). */
function spiffeIdOf(leaf: Certificate, purpose: PathOptions['purpose']): SpiffeId {
  const { isCa, keyUsage, extendedKeyUsage, uris } = leaf;
  if (isCa === true) throw malformed('it is an authority');
  if (keyUsage?.has('digitalSignature') !== true) throw malformed('its key is not for digital signatures');
  if (keyUsage.has('keyCertSign') || keyUsage.has('cRLSign'))
    throw malformed('its key may sign certificates');
  if (extendedKeyUsage && !extendedKeyUsage.has(purpose)) throw malformed(`its key is not for ${purpose}`);
  const [uri, ...more] = uris;
  if (uri === undefined || more.length > 0) throw malformed('it does not have exactly one URI');
  return parseAtbSpiffeId(uri);
}

function checkTime({ notBefore, notAfter }: Certificate, at: Date): void {
  // Said this way round so that a clock that tells no time refuses.
  if (!(at >= notBefore)) throw new AtbError('certificate_not_yet_valid', 'the certificate is not valid yet');
  if (!(at <= notAfter)) throw new AtbError('certificate_expired', 'the certificate has expired');
}

const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/**
 * Validates SVIDs against one set of bundles, and remembers those that were good: agents come again and again with the
 * same chain. Time is checked every time. Only so many are remembered, the most recently used.
 */
export class X509SvidValidator {
  /** In order of use, by the digest of the chain. */
  private readonly known = new Map<string, Validated>();

  constructor(
    private readonly bundles: TrustBundleSet,
    private readonly capacity = 1024,
  ) {}

  /** As validateX509Svid, of a client; `chain` is base64 DER. */
  validate(chain: readonly string[], at: Date): X509Svid {
    const key = createHash('sha256').update(chain.join(' ')).digest('base64');
    const known = this.known.get(key);
    if (known && known.from <= at && at <= known.until) {
      this.remember(key, known);
      return known.svid;
    }
    const validated = validate(chain.map(decodeBase64), this.bundles, at, { purpose: 'clientAuth' });
    this.remember(key, validated);
    return validated.svid;
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

function decodeBase64(text: string): Uint8Array {
  const der = Buffer.from(text, 'base64');
  if (!BASE64.test(text) || der.toString('base64') !== text) {
    throw new AtbError('certificate_malformed', 'a certificate of the chain is not base64');
  }
  return der;
}

function malformed(why: string): AtbError {
  return new AtbError('svid_malformed', `the certificate is not an X.509-SVID: ${why}`);
}
