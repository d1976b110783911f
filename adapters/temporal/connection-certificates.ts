import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { experimental } from '@grpc/grpc-js';
import type { ChannelCredentials } from '@grpc/grpc-js';
import { isSpiffeError, lookAgain, orThrow, pemOf, SpiffeError } from '../spiffe';
import type { OwnIdentity } from '../spiffe';

/** What a connection shows, and by whom the other end must be vouched for. PEM. */
export interface Certificates {
  readonly certificate: Buffer;
  readonly privateKey: Buffer;
  readonly authorities: Buffer;
}

export interface CertificateFiles {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
}

/** Where they come from: each time asked, as they are now. Throws a `SpiffeError` where there are none. */
export interface CertificateSource {
  now(): Certificates;
  onChange(listener: () => void): () => void;
  close(): void;
}

/**
 * From three files, followed: whoever renews a certificate writes it anew. While certificate and key do not belong
 * together, or something cannot be read, those of before stay. Throws `svid_malformed` at the start.
 */
export async function certificatesFromFiles(
  files: CertificateFiles,
  onError: (error: SpiffeError) => void,
): Promise<CertificateSource> {
  let certificates: Certificates | undefined;
  const listeners = new Set<() => void>();
  const look = async (report: (error: SpiffeError) => void) => {
    try {
      const read = await readCertificates(files);
      if (certificates && same(certificates, read)) return;
      certificates = read;
    } catch (cause) {
      const { certFile, keyFile, caFile } = files;
      const why = cause instanceof Error ? cause.message : 'they cannot be read';
      report(new SpiffeError('svid_malformed', `${certFile}, ${keyFile} and ${caFile}: ${why}`, { cause }));
      return;
    }
    for (const listener of listeners) listener();
  };
  await look(orThrow);
  const stop = lookAgain(look, { onError });
  return {
    now: () => certificates as Certificates,
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close() {
      stop();
      listeners.clear();
    },
  };
}

/** From a process's own SVID; the other end is vouched for by the bundle of the same trust domain. */
export function certificatesFromSvid(identity: OwnIdentity & { close(): void }): CertificateSource {
  return {
    now() {
      const { certificatePem, privateKeyPem, id } = identity.svid;
      const authorities = identity.authoritiesOf(id.trustDomain).map(({ der }) => der);
      return {
        certificate: Buffer.from(certificatePem),
        privateKey: Buffer.from(privateKeyPem),
        authorities: Buffer.from(pemOf(authorities)),
      };
    },
    onChange: (listener) => identity.onChange(listener),
    close: () => {
      identity.close();
    },
  };
}

/** gRPC credentials that show whatever certificate there is when a connection is made. Without one none is made. */
export function channelCredentials(source: CertificateSource): ChannelCredentials {
  const certificates = () => {
    try {
      return source.now();
    } catch (error) {
      if (isSpiffeError(error)) return undefined;
      throw error;
    }
  };
  const stops = new Map<unknown, () => void>();
  const follow = (listener: unknown, tell: () => void) => {
    stops.set(listener, source.onChange(tell));
    tell();
  };
  const unfollow = (listener: unknown) => stops.get(listener)?.();
  const provider = {
    addCaCertificateListener(listener: experimental.CaCertificateUpdateListener) {
      follow(listener, () => {
        const now = certificates();
        listener(now ? { caCertificate: now.authorities } : null);
      });
    },
    addIdentityCertificateListener(listener: experimental.IdentityCertificateUpdateListener) {
      follow(listener, () => {
        listener(certificates() ?? null);
      });
    },
    removeCaCertificateListener: unfollow,
    removeIdentityCertificateListener: unfollow,
  };
  return experimental.createCertificateProviderChannelCredentials(provider, provider);
}

async function readCertificates({ certFile, keyFile, caFile }: CertificateFiles): Promise<Certificates> {
  const [certificate, privateKey, authorities] = await Promise.all(
    [certFile, keyFile, caFile].map((file) => readFile(file)),
  );
  const leaf = new X509Certificate(certificate as Buffer);
  new X509Certificate(authorities as Buffer);
  if (!leaf.checkPrivateKey(createPrivateKey(privateKey as Buffer)))
    throw new Error('the certificate and the key do not belong together');
  return { certificate, privateKey, authorities } as Certificates;
}

function same(one: Certificates, other: Certificates): boolean {
  return (
    one.certificate.equals(other.certificate) &&
    one.privateKey.equals(other.privateKey) &&
    one.authorities.equals(other.authorities)
  );
}
