import { readFileSync, readdirSync, statSync } from 'node:fs';
import { basename, extname, join } from 'node:path';
import { parseCertificate } from './certificate';
import type { Certificate } from './certificate';
import { SpiffeError, isSpiffeError } from './error';
import { parsePemCertificates } from './pem';
import { parseBundleDocument } from './spiffe-bundle';
import type { BundleDocument, JwtAuthorities } from './spiffe-bundle';
import { parseTrustDomain } from './spiffe-id';
import { authorityFaultOf } from './x509-svid-rules';

/** Who vouches for X.509-SVIDs. Asked at every validation, so that a rotation counts from then on. */
export interface X509BundleSource {
  /** The authorities of that trust domain and of no other. Throws `trust_domain_unknown`. */
  authoritiesOf(trustDomain: string): readonly Certificate[];
}

/** Who vouches for JWT-SVIDs. */
export interface JwtBundleSource {
  /** The keys of that trust domain and of no other. Throws `trust_domain_unknown`. */
  jwtAuthoritiesOf(trustDomain: string): JwtAuthorities;
}

interface TrustBundle {
  readonly x509: readonly Certificate[];
  readonly jwt: JwtAuthorities;
}

/**
 * The authorities of each trust domain. They are never merged: an authority speaks for its own trust domain only
 * (SPIFFE Trust Domain and Bundle §3, SPIFFE Federation §4.2), and a key for X.509-SVIDs for those only. There is no
 * empty one, so that nothing configured never means open.
 */
export class TrustBundleSet implements X509BundleSource, JwtBundleSource {
  private constructor(private readonly bundles: ReadonlyMap<string, TrustBundle>) {}

  /** From DER certificates by trust domain. Throws `bundle_malformed`. */
  static of(bundles: Readonly<Record<string, readonly Uint8Array[]>>): TrustBundleSet {
    return TrustBundleSet.ofDocuments(
      Object.entries(bundles).map(([name, x509Authorities]) => [name, { x509Authorities }]),
    );
  }

  /** From the contents of bundles by trust domain. Throws `bundle_malformed`. */
  static ofDocuments(
    documents: Iterable<readonly [trustDomain: string, document: Partial<BundleDocument>]>,
  ): TrustBundleSet {
    const bundles = new Map<string, TrustBundle>();
    for (const [name, { x509Authorities = [], jwtAuthorities = new Map() }] of documents) {
      if (bundles.has(name)) throw malformed(`there are two bundles of ${name}`);
      if (x509Authorities.length === 0 && jwtAuthorities.size === 0) {
        throw malformed(`the bundle of ${name} has no authority`);
      }
      bundles.set(
        inBundle(() => parseTrustDomain(name)),
        { x509: x509Authorities.map(parseAuthority), jwt: jwtAuthorities },
      );
    }
    if (bundles.size === 0) throw malformed('there is no trust bundle, so nobody could be trusted');
    return new TrustBundleSet(bundles);
  }

  /**
   * From a path: a file `<trust domain>.pem` of certificates; a file `<trust domain>.json`, a SPIFFE bundle; or a
   * folder of such files. Throws `bundle_malformed`, also where there is nothing in it.
   */
  static load(path: string): TrustBundleSet {
    return TrustBundleSet.ofDocuments(
      filesOf(path).map((file) => {
        const text = inBundle(() => readFileSync(file, 'utf8'));
        return [basename(file, extname(file)), parseTrustBundle(text)] as const;
      }),
    );
  }

  get trustDomains(): readonly string[] {
    return [...this.bundles.keys()];
  }

  authoritiesOf(trustDomain: string): readonly Certificate[] {
    const { x509 } = this.bundles.get(trustDomain) ?? NO_BUNDLE;
    if (x509.length === 0) {
      throw new SpiffeError('trust_domain_unknown', 'the trust domain of the certificate is not known');
    }
    return x509;
  }

  jwtAuthoritiesOf(trustDomain: string): JwtAuthorities {
    const { jwt } = this.bundles.get(trustDomain) ?? NO_BUNDLE;
    if (jwt.size === 0) {
      throw new SpiffeError('trust_domain_unknown', 'the trust domain of the JWT-SVID is not known');
    }
    return jwt;
  }
}

const NO_BUNDLE: TrustBundle = { x509: [], jwt: new Map() };

/** The contents of a bundle as a text, PEM certificates or a SPIFFE bundle in JSON. Throws `bundle_malformed`. */
export function parseTrustBundle(text: string): Partial<BundleDocument> {
  return /^\s*\{/.test(text) ? parseBundleDocument(text) : { x509Authorities: parsePemCertificates(text) };
}

function parseAuthority(der: Uint8Array): Certificate {
  const certificate = inBundle(() => parseCertificate(der));
  const fault = authorityFaultOf(certificate);
  if (fault !== undefined) throw malformed(`the trust bundle cannot be used: ${fault}`);
  return certificate;
}

function filesOf(path: string): readonly string[] {
  const isFolder = inBundle(() => statSync(path).isDirectory());
  const files = isFolder ? readdirSync(path).map((name) => join(path, name)) : [path];
  const bundles = files.filter((file) => extname(file) === '.pem' || extname(file) === '.json');
  if (bundles.length === 0)
    throw malformed(`there is no trust bundle in ${path} (<trust domain>.pem or .json)`);
  return bundles.sort();
}

/** Whatever is wrong in a bundle is wrong with the bundle. */
function inBundle<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (isSpiffeError(cause) && cause.code === 'bundle_malformed') throw cause;
    throw malformed(`the trust bundle cannot be used: ${cause instanceof Error ? cause.message : ''}`, cause);
  }
}

function malformed(message: string, cause?: unknown): SpiffeError {
  return new SpiffeError('bundle_malformed', message, { cause });
}
