import { X509Certificate } from 'node:crypto';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { basename, extname, join } from 'node:path';
import { AtbError } from '../../domain/error';
import { parseTrustDomain } from '../../domain/spiffe-id';
import { parseCertificate } from './certificate';
import type { Certificate } from './certificate';

/**
 * The authorities of each trust domain. They are never merged: an authority speaks for its own trust domain only
 * (SPIFFE Trust Domain and Bundle §3). There is no empty one, so that nothing configured never means open.
 */
export class TrustBundleSet {
  private constructor(private readonly bundles: ReadonlyMap<string, readonly Certificate[]>) {}

  /** From DER certificates by trust domain. Throws `configuration_invalid`. */
  static of(bundles: Readonly<Record<string, readonly Uint8Array[]>>): TrustBundleSet {
    const parsed = new Map<string, readonly Certificate[]>();
    for (const [name, authorities] of Object.entries(bundles)) {
      if (authorities.length === 0) throw invalid(`the bundle of ${name} has no certificate`);
      parsed.set(
        checked(name, parseTrustDomain),
        authorities.map((der) => checked(der, parseAuthority)),
      );
    }
    if (parsed.size === 0) throw invalid('there is no trust bundle, so nobody could be trusted');
    return new TrustBundleSet(parsed);
  }

  /**
   * From a path: a file `<trust domain>.pem` of certificates; a file `<trust domain>.json`, a SPIFFE bundle; or a
   * folder of such files. Throws `configuration_invalid`, also where there is nothing in it.
   */
  static load(path: string): TrustBundleSet {
    const bundles: Record<string, readonly Uint8Array[]> = {};
    for (const file of filesOf(path)) {
      const trustDomain = basename(file, extname(file));
      if (Object.hasOwn(bundles, trustDomain))
        throw invalid(`there are two bundles of ${trustDomain} in ${path}`);
      const text = checked(file, (name) => readFileSync(name, 'utf8'));
      bundles[trustDomain] = extname(file) === '.pem' ? parsePemCertificates(text) : parseSpiffeBundle(text);
    }
    return TrustBundleSet.of(bundles);
  }

  get trustDomains(): readonly string[] {
    return [...this.bundles.keys()];
  }

  /** The authorities of that trust domain and of no other. Throws `trust_domain_unknown`. */
  authoritiesOf(trustDomain: string): readonly Certificate[] {
    const authorities = this.bundles.get(trustDomain);
    if (!authorities)
      throw new AtbError('trust_domain_unknown', 'the trust domain of the certificate is not known');
    return authorities;
  }
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]*-----END CERTIFICATE-----/g;

/** The DER of the certificates of a PEM text (RFC 7468 §5), of which there must be one and nothing else. Throws `configuration_invalid`. */
export function parsePemCertificates(pem: string): readonly Uint8Array[] {
  const found = pem.match(PEM_CERTIFICATE) ?? [];
  if (found.length === 0) throw invalid('there is no PEM certificate');
  if (pem.replace(PEM_CERTIFICATE, '').includes('-----'))
    throw invalid('there is more in it than PEM certificates');
  return found.map((certificate) => checked(certificate, (text) => new X509Certificate(text).raw));
}

/**
 * The DER of the X.509 authorities of a SPIFFE bundle (SPIFFE Trust Domain and Bundle §4): the keys for `x509-svid`,
 * each with one certificate in `x5c`. Throws `configuration_invalid`.
 */
export function parseSpiffeBundle(json: string): readonly Uint8Array[] {
  const bundle = checked(json, (text) => JSON.parse(text) as unknown);
  const { keys } = (bundle ?? {}) as { keys?: unknown };
  if (!Array.isArray(keys)) throw invalid('a SPIFFE bundle has a list "keys"');
  return (keys as readonly unknown[])
    .map((key) => (key ?? {}) as { use?: unknown; x5c?: unknown })
    .filter(({ use }) => use === 'x509-svid')
    .map(({ x5c }) => {
      const [certificate, ...more] = Array.isArray(x5c) ? (x5c as readonly unknown[]) : [];
      if (typeof certificate !== 'string' || more.length > 0) {
        throw invalid('a key for x509-svid has one certificate in x5c');
      }
      return Buffer.from(certificate, 'base64');
    });
}

function parseAuthority(der: Uint8Array): Certificate {
  const certificate = parseCertificate(der);
  if (certificate.isCa !== true) throw invalid('a certificate of a trust bundle is not an authority');
  return certificate;
}

function filesOf(path: string): readonly string[] {
  const isFolder = checked(path, (name) => statSync(name).isDirectory());
  const files = isFolder ? readdirSync(path).map((name) => join(path, name)) : [path];
  const bundles = files.filter((file) => extname(file) === '.pem' || extname(file) === '.json');
  if (bundles.length === 0)
    throw invalid(`there is no trust bundle in ${path} (<trust domain>.pem or .json)`);
  return bundles.sort();
}

function checked<In, Out>(value: In, read: (value: In) => Out): Out {
  try {
    return read(value);
  } catch (cause) {
    throw invalid(`the trust bundle cannot be used: ${cause instanceof Error ? cause.message : ''}`, cause);
  }
}

function invalid(message: string, cause?: unknown): AtbError {
  return new AtbError('configuration_invalid', message, { cause });
}
