// @peculiar/x509 resolves its parts by their reflected types, so this must come first.
import 'reflect-metadata';
import { KeyObject, createPrivateKey, randomBytes, webcrypto } from 'node:crypto';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import * as x509 from '@peculiar/x509';
import { parseTrustDomain } from './spiffe-id';

/** A certificate authority for development: one key, on this machine, for one trust domain. Never for production. */
export interface DevelopmentCa {
  readonly trustDomain: string;
  readonly certificatePem: string;
  /** PKCS#8. */
  readonly privateKeyPem: string;
}

export type SvidKeyType = 'P-256' | 'P-384' | 'Ed25519';

/** What an SVID says. Nothing is checked: tests issue wrong ones too. */
export interface SvidProfile {
  readonly spiffeId: string;
  /** From now on; notBefore and notAfter go before it. */
  readonly ttlHours: number;
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
  readonly keyType?: SvidKeyType;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  /** Instead of the one URI that is the SPIFFE ID. */
  readonly uriSans?: readonly string[];
}

export interface IssuedSvid {
  /** PKCS#8. */
  readonly privateKeyPem: string;
  /** The leaf; its root is not part of the chain. */
  readonly chainPem: string;
}

const HOUR_MS = 3_600_000;
/** Certificates begin a little early, for clocks that are behind. */
const BACKDATED_MS = 60_000;

const ALGORITHMS = {
  'P-256': { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  'P-384': { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' },
  Ed25519: { name: 'Ed25519' },
} as const;
const CA_ALGORITHM = ALGORITHMS['P-256'];

/** Makes a root (EC P-256) for the trust domain. Throws `spiffe_id_malformed` for a name that is no trust domain. */
export async function createDevelopmentCa(trustDomain: string, validityDays: number): Promise<DevelopmentCa> {
  const uri = `spiffe://${parseTrustDomain(trustDomain)}`;
  const keys = await generateKeys('P-256');
  const now = Date.now();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: randomSerialNumber(),
      name: `O=${trustDomain}, CN=Development CA`,
      notBefore: new Date(now - BACKDATED_MS),
      notAfter: new Date(now + validityDays * 24 * HOUR_MS),
      keys,
      signingAlgorithm: CA_ALGORITHM,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
        new x509.SubjectAlternativeNameExtension([{ type: 'url', value: uri }]),
      ],
    },
    webcrypto,
  );
  return { trustDomain, certificatePem: toPem(certificate), privateKeyPem: exportKey(keys.privateKey) };
}

/** Issues an X.509-SVID (SPIFFE X509-SVID §3–4), for clients and servers alike. */
export async function issueSvid(ca: DevelopmentCa, profile: SvidProfile): Promise<IssuedSvid> {
  const issuer = new x509.X509Certificate(ca.certificatePem);
  const signingKey = await importCaKey(ca);
  const keys = await generateKeys(profile.keyType ?? 'P-256');
  const now = Date.now();
  const names: x509.JsonGeneralNames = [
    ...(profile.uriSans ?? [profile.spiffeId]).map((value) => ({ type: 'url' as const, value })),
    ...(profile.dnsNames ?? []).map((value) => ({ type: 'dns' as const, value })),
    ...(profile.ipAddresses ?? []).map((value) => ({ type: 'ip' as const, value })),
  ];
  const certificate = await x509.X509CertificateGenerator.create(
    {
      serialNumber: randomSerialNumber(),
      subject: `O=${ca.trustDomain}`,
      issuer: issuer.subject,
      notBefore: profile.notBefore ?? new Date(now - BACKDATED_MS),
      notAfter: profile.notAfter ?? new Date(now + profile.ttlHours * HOUR_MS),
      publicKey: keys.publicKey,
      signingKey,
      signingAlgorithm: CA_ALGORITHM,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([
          x509.ExtendedKeyUsage.clientAuth,
          x509.ExtendedKeyUsage.serverAuth,
        ]),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
        await x509.AuthorityKeyIdentifierExtension.create(issuer, false, webcrypto),
        ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
      ],
    },
    webcrypto,
  );
  return { privateKeyPem: exportKey(keys.privateKey), chainPem: toPem(certificate) };
}

/** Writes a private key that only its owner can read; the folder is made where it is missing. */
export function writePrivateKey(path: string, privateKeyPem: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, privateKeyPem, { mode: 0o600 });
  // The mode above is for a new file; one that was there keeps its own.
  chmodSync(path, 0o600);
}

function generateKeys(type: SvidKeyType): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHMS[type], true, [
    'sign',
    'verify',
  ]) as Promise<webcrypto.CryptoKeyPair>;
}

function importCaKey(ca: DevelopmentCa): Promise<webcrypto.CryptoKey> {
  const der = createPrivateKey(ca.privateKeyPem).export({ type: 'pkcs8', format: 'der' });
  return webcrypto.subtle.importKey('pkcs8', der, CA_ALGORITHM, false, ['sign']);
}

function exportKey(key: webcrypto.CryptoKey): string {
  return KeyObject.from(key).export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** 126 random bits, positive and without leading zeros (RFC 5280 §4.1.2.2). */
function randomSerialNumber(): string {
  const bytes = randomBytes(16);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x3f) | 0x40, 0);
  return bytes.toString('hex');
}

function toPem(certificate: x509.X509Certificate): string {
  return `${certificate.toString('pem')}\n`;
}
