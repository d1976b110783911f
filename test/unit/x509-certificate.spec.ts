import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { parseCertificate } from '../../adapters/spiffe/certificate';

const unusable: Error = expect.objectContaining({ code: 'certificate_malformed' });
const PUBLIC_EXPONENT = Uint8Array.from([1, 0, 1]);

type Algorithm = webcrypto.RsaHashedKeyGenParams | (webcrypto.EcKeyGenParams & { hash: string });

async function certificateWith(algorithm: Algorithm, extensions: x509.Extension[] = []): Promise<Uint8Array> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    { serialNumber: '01', name: 'CN=Test', keys, signingAlgorithm: algorithm, extensions },
    webcrypto,
  );
  return new Uint8Array(certificate.rawData);
}
const rsa = (modulusLength: number, hash: string) => ({
  name: 'RSASSA-PKCS1-v1_5',
  modulusLength,
  hash,
  publicExponent: PUBLIC_EXPONENT,
});
const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

describe('a certificate', () => {
  it.each([
    ['RSA with 2048 bits and SHA-256', rsa(2048, 'SHA-256')],
    ['P-256 and SHA-256', P256],
    ['P-384 and SHA-384', { ...P256, namedCurve: 'P-384', hash: 'SHA-384' }],
  ])('may be signed with %s', async (_, algorithm) => {
    const certificate = parseCertificate(await certificateWith(algorithm));
    expect(certificate).toMatchObject({ faults: [], hasStrongSignature: true });
    expect(certificate.isSignedBy(certificate)).toBe(true);
  });

  it.each([
    ['RSA and SHA-1', rsa(2048, 'SHA-1')],
    ['P-256 and SHA-1', { ...P256, hash: 'SHA-1' }],
  ])('is signed by nobody when it is signed with %s', async (_, algorithm) => {
    const certificate = parseCertificate(await certificateWith(algorithm));
    expect(certificate.hasStrongSignature).toBe(false);
    expect(certificate.isSignedBy(certificate)).toBe(false);
  });

  it.each([['RSA with 1024 bits', rsa(1024, 'SHA-256'), 'its key is smaller than 2048 bits']])(
    'has a fault with a key of %s',
    async (_, algorithm, fault) => {
      const { faults } = parseCertificate(await certificateWith(algorithm));
      expect(faults).toEqual([fault]);
    },
  );

  it('may have an unknown extension, but no critical one, and none twice', async () => {
    const extension = (critical: boolean) =>
      new x509.Extension('1.3.6.1.4.1.99999.1', critical, Uint8Array.from([5, 0]));
    expect(parseCertificate(await certificateWith(P256, [extension(false)])).uris).toEqual([]);
    const { faults } = parseCertificate(await certificateWith(P256, [extension(true)]));
    expect(faults).toEqual(['it has a critical extension that is unknown here']);
    const usage = new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature);
    const twice = await certificateWith(P256, [usage, usage]);
    expect(() => parseCertificate(twice)).toThrow(unusable);
  });

  it('larger than 16 KiB is refused unread', () => {
    expect(() => parseCertificate(new Uint8Array(16 * 1024 + 1))).toThrow(unusable);
  });
});
