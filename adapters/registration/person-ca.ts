// @peculiar/x509 resolves its parts by their reflected types, so this must come first.
import 'reflect-metadata';
import { createPrivateKey, randomBytes, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { AtbError } from '../../domain/error';

/** An authority that gives people their X.509-SVIDs: a certificate of the trust domain, and its key (EC P-256). */
export interface PersonCa {
  readonly certificatePem: string;
  /** PKCS#8. */
  readonly privateKeyPem: string;
}

const CA_ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
/** Certificates begin a little early, for clocks that are behind. */
const BACKDATED_MS = 60_000;
const LONGEST_REQUEST = 8 * 1024;
const CURVES = ['P-256', 'P-384'];

/**
 * An X.509-SVID (SPIFFE X509-SVID §3–4) over the key of a certification request (RFC 2986), whose signature proves that
 * whoever asks has the private key. Nothing else of the request counts: who it is for, others say. Answers PEM. Throws
 * `certification_request_invalid`.
 */
export async function issuePersonSvid(
  ca: PersonCa,
  requestPem: string,
  profile: { readonly spiffeId: string; readonly now: Date; readonly ttlSeconds: number },
): Promise<string> {
  const publicKey = await provenKey(requestPem);
  const issuer = new x509.X509Certificate(ca.certificatePem);
  const notAfter = new Date(profile.now.getTime() + profile.ttlSeconds * 1000);
  if (!(notAfter <= issuer.notAfter)) {
    throw new AtbError('configuration_invalid', 'the authority ends before what it would issue');
  }
  const der = createPrivateKey(ca.privateKeyPem).export({ type: 'pkcs8', format: 'der' });
  const signingKey = await webcrypto.subtle.importKey('pkcs8', der, CA_ALGORITHM, false, ['sign']);
  const certificate = await x509.X509CertificateGenerator.create(
    {
      serialNumber: serialNumber(),
      subject: issuer.subject,
      issuer: issuer.subject,
      notBefore: new Date(profile.now.getTime() - BACKDATED_MS),
      notAfter,
      publicKey,
      signingKey,
      signingAlgorithm: CA_ALGORITHM,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        // X509-SVID §4.4: both or none, though a person is never a server.
        new x509.ExtendedKeyUsageExtension([
          x509.ExtendedKeyUsage.clientAuth,
          x509.ExtendedKeyUsage.serverAuth,
        ]),
        await x509.SubjectKeyIdentifierExtension.create(publicKey, false, webcrypto),
        await x509.AuthorityKeyIdentifierExtension.create(issuer, false, webcrypto),
        new x509.SubjectAlternativeNameExtension([{ type: 'url', value: profile.spiffeId }]),
      ],
    },
    webcrypto,
  );
  return `${certificate.toString('pem')}\n`;
}

async function provenKey(requestPem: string): Promise<x509.PublicKey> {
  if (requestPem.length > LONGEST_REQUEST) throw invalid(`it is longer than ${LONGEST_REQUEST} characters`);
  let request: x509.Pkcs10CertificateRequest;
  let proven: boolean;
  try {
    request = new x509.Pkcs10CertificateRequest(requestPem);
    proven = await request.verify(webcrypto);
  } catch (cause) {
    throw invalid('it is not a PKCS #10 request with a signature that can be checked', cause);
  }
  if (!proven) throw invalid('its signature is not by its key');
  const { name, namedCurve } = request.publicKey.algorithm as { name: string; namedCurve?: string };
  if (name !== 'Ed25519' && !(name === 'ECDSA' && namedCurve !== undefined && CURVES.includes(namedCurve))) {
    throw invalid('its key is none of EC P-256, P-384 and Ed25519');
  }
  return request.publicKey;
}

/** 126 random bits, positive and without leading zeros (RFC 5280 §4.1.2.2). */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x3f) | 0x40, 0);
  return bytes.toString('hex');
}

function invalid(why: string, cause?: unknown): AtbError {
  return new AtbError('certification_request_invalid', `the certification request is not valid: ${why}`, {
    cause,
  });
}
