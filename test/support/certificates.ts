import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

type Algorithm =
  webcrypto.RsaHashedKeyGenParams | (webcrypto.EcKeyGenParams & { hash: string }) | { name: 'Ed25519' };

export const P256: Algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
export const P384: Algorithm = { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' };
export const ED25519: Algorithm = { name: 'Ed25519' };
export const rsa = (modulusLength: number, hash = 'SHA-256', name = 'RSASSA-PKCS1-v1_5'): Algorithm => ({
  ...{ name, modulusLength, hash },
  publicExponent: Uint8Array.from([1, 0, 1]),
});

const YEAR_MS = 365 * 24 * 3_600_000;
/** In the middle of everything that is made here. */
export const NOW = new Date('2026-06-01T12:00:00Z');

/** What a certificate says; every part has a default that is good. */
export interface Profile {
  readonly name?: string;
  readonly key?: Algorithm;
  /** With which the issuer signs. */
  readonly signature?: object;
  readonly isCa?: boolean;
  readonly pathLength?: number;
  readonly basicConstraints?: x509.Extension | null;
  /** Null for none. */
  readonly keyUsage?: x509.KeyUsageFlags | null;
  readonly keyUsageCritical?: boolean;
  readonly extendedKeyUsage?: readonly string[];
  readonly uris?: readonly string[];
  readonly names?: x509.JsonGeneralNames;
  readonly namesCritical?: boolean;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly extensions?: readonly x509.Extension[];
  readonly serialNumber?: string;
  /** The key of another, as where two authorities vouch for one. */
  readonly keys?: webcrypto.CryptoKeyPair;
}

/** A certificate with its key, and so one that can issue others. */
export interface Issued {
  readonly der: Uint8Array;
  readonly keys: webcrypto.CryptoKeyPair;
  readonly name: string;
  readonly key: Algorithm;
}

const { keyCertSign, digitalSignature } = x509.KeyUsageFlags;
let count = 0;

/** An authority that signs itself. */
export function root(profile: Profile = {}): Promise<Issued> {
  return issue(undefined, { name: 'CN=Root', isCa: true, ...profile });
}

/** An authority below another. */
export function authority(issuer: Issued, profile: Profile = {}): Promise<Issued> {
  return issue(issuer, { name: `CN=Authority ${count}`, isCa: true, ...profile });
}

/** A workload's certificate, an X.509-SVID unless the profile says otherwise. */
export function leaf(issuer: Issued, profile: Profile = {}): Promise<Issued> {
  return issue(issuer, {
    name: 'O=corp.example',
    uris: ['spiffe://corp.example/agent/finance-bot'],
    ...profile,
  });
}

async function issue(issuer: Issued | undefined, profile: Profile): Promise<Issued> {
  const { isCa = false, key = P256, name = 'CN=Nobody', extensions = [] } = profile;
  const keys =
    profile.keys ??
    ((await webcrypto.subtle.generateKey(key, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair);
  const names: x509.JsonGeneralNames = [
    ...(profile.uris ?? []).map((value) => ({ type: 'url' as const, value })),
    ...(profile.names ?? []),
  ];
  const constraints =
    profile.basicConstraints === undefined
      ? new x509.BasicConstraintsExtension(isCa, profile.pathLength, true)
      : profile.basicConstraints;
  const keyUsage =
    profile.keyUsage === undefined ? (isCa ? keyCertSign : digitalSignature) : profile.keyUsage;
  const certificate = await x509.X509CertificateGenerator.create(
    {
      serialNumber: profile.serialNumber ?? (++count + 0x10_0000).toString(16).padStart(8, '0'),
      subject: name,
      issuer: issuer?.name ?? name,
      notBefore: profile.notBefore ?? new Date(NOW.getTime() - YEAR_MS),
      notAfter: profile.notAfter ?? new Date(NOW.getTime() + YEAR_MS),
      publicKey: keys.publicKey,
      signingKey: (issuer?.keys ?? keys).privateKey,
      signingAlgorithm: (profile.signature ?? issuer?.key ?? key) as Algorithm,
      extensions: [
        ...(constraints ? [constraints] : []),
        ...(keyUsage !== null
          ? [new x509.KeyUsagesExtension(keyUsage, profile.keyUsageCritical ?? true)]
          : []),
        ...(profile.extendedKeyUsage
          ? [new x509.ExtendedKeyUsageExtension([...profile.extendedKeyUsage])]
          : []),
        ...(names.length > 0
          ? [new x509.SubjectAlternativeNameExtension(names, profile.namesCritical ?? name === '')]
          : []),
        ...extensions,
      ],
    },
    webcrypto,
  );
  return { der: new Uint8Array(certificate.rawData), keys, name, key };
}

/** An extension whose value is given as hexadecimal DER. */
export function extension(oid: string, hex: string, critical = true): x509.Extension {
  return new x509.Extension(oid, critical, Buffer.from(hex.replace(/\s/g, ''), 'hex'));
}

/** One DER element: a tag and its content. */
export function der(tag: number, ...content: readonly (Uint8Array | string)[]): Uint8Array {
  const body = Buffer.concat(
    content.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part)),
  );
  const length =
    body.length < 0x80
      ? [body.length]
      : body.length < 0x100
        ? [0x81, body.length]
        : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
}

export const NAME_CONSTRAINTS = '2.5.29.30';
const TAG = { email: 0x81, dns: 0x82, uri: 0x86, ip: 0x87 } as const;

/** Names that are permitted and names that are excluded, each as [form, text]; addresses as bytes in text. */
export function nameConstraints(
  permitted: readonly (readonly [keyof typeof TAG, string])[],
  excluded: readonly (readonly [keyof typeof TAG, string])[] = [],
  critical = true,
): x509.Extension {
  const subtrees = (tag: number, list: typeof permitted) =>
    list.length === 0 ? [] : [der(tag, ...list.map(([form, text]) => der(0x30, der(TAG[form], text))))];
  const value = der(0x30, ...subtrees(0xa0, permitted), ...subtrees(0xa1, excluded));
  return new x509.Extension(NAME_CONSTRAINTS, critical, value);
}

/** Policies by the last number of an OID of ours; 'any' for anyPolicy. */
export type PolicyName = number | 'any';

export function policyOid(policy: PolicyName): Uint8Array {
  return der(
    0x06,
    policy === 'any' ? Uint8Array.from([0x55, 0x1d, 0x20, 0x00]) : Uint8Array.from([0x2a, 0x03, policy]),
  );
}

export function policies(...names: readonly PolicyName[]): x509.Extension {
  return new x509.Extension(
    '2.5.29.32',
    false,
    der(0x30, ...names.map((name) => der(0x30, policyOid(name)))),
  );
}

export function policyMappings(...pairs: readonly (readonly [PolicyName, PolicyName])[]): x509.Extension {
  const value = der(0x30, ...pairs.map((pair) => der(0x30, ...pair.map(policyOid))));
  return new x509.Extension('2.5.29.33', true, value);
}

export function policyConstraints({
  explicit,
  inhibitMapping,
}: {
  readonly explicit?: number;
  readonly inhibitMapping?: number;
}): x509.Extension {
  const part = (tag: number, value: number | undefined) =>
    value === undefined ? [] : [der(tag, Uint8Array.from([value]))];
  return new x509.Extension(
    '2.5.29.36',
    true,
    der(0x30, ...part(0x80, explicit), ...part(0x81, inhibitMapping)),
  );
}

export function inhibitAnyPolicy(after: number): x509.Extension {
  return new x509.Extension('2.5.29.54', true, der(0x02, Uint8Array.from([after])));
}
