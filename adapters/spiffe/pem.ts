import { X509Certificate } from 'node:crypto';
import { SpiffeError } from './error';

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]*-----END CERTIFICATE-----/g;
const LINE = /.{1,64}/g;
/** More than any trust domain has only cost time. */
export const MAX_AUTHORITIES = 1_000;

/**
 * The DER of the certificates of a PEM text (RFC 7468 §5), of which there must be one and nothing else. Throws
 * `bundle_malformed`.
 */
export function parsePemCertificates(pem: string): readonly Uint8Array[] {
  const found = pem.match(PEM_CERTIFICATE) ?? [];
  if (found.length === 0) throw malformed('there is no PEM certificate');
  if (found.length > MAX_AUTHORITIES) throw malformed(`there are more than ${MAX_AUTHORITIES} certificates`);
  if (pem.replace(PEM_CERTIFICATE, '').includes('-----'))
    throw malformed('there is more in it than PEM certificates');
  return found.map((certificate) => {
    try {
      return new X509Certificate(certificate).raw;
    } catch (cause) {
      throw malformed('a PEM certificate of it cannot be read', cause);
    }
  });
}

/**
 * The DER of every certificate in a text or file, PEM or DER, in whatever order and with whatever beside it. Nothing of
 * it is judged, so this is for looking at what came from somewhere.
 */
export function findCertificates(content: Uint8Array): readonly Uint8Array[] {
  const found = Buffer.from(content).toString('latin1').match(PEM_CERTIFICATE) ?? [];
  if (found.length > 0) {
    return found.map((pem) => Buffer.from(pem.replace(/-----[A-Z ]+-----/g, ''), 'base64'));
  }
  return content.length === 0 ? [] : [content];
}

/** Certificates as PEM, in the order given. */
export function pemOf(certificates: readonly Uint8Array[]): string {
  return certificates
    .map((der) => Buffer.from(der).toString('base64').match(LINE) ?? [])
    .map((lines) => ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n'))
    .join('');
}

function malformed(why: string, cause?: unknown): SpiffeError {
  return new SpiffeError('bundle_malformed', why, { cause });
}
