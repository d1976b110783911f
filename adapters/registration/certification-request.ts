// @peculiar/x509 resolves its parts by their reflected types, so this must come first.
import 'reflect-metadata';
import { KeyObject, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

/** A key made here, and the request to certify it (RFC 2986), which names nobody. */
export interface CertificationRequest {
  /** PKCS#8, PEM; it stays where it was made. */
  readonly privateKeyPem: string;
  readonly requestPem: string;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

export async function newCertificationRequest(): Promise<CertificationRequest> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const request = await x509.Pkcs10CertificateRequestGenerator.create(
    { keys, signingAlgorithm: ALGORITHM },
    webcrypto,
  );
  return {
    privateKeyPem: KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' }).toString(),
    requestPem: request.toString('pem'),
  };
}
