import type { KeyObject } from 'node:crypto';
import { SpiffeError } from './error';
import {
  readPolicies,
  readPolicyConstraints,
  readPolicyMappings,
  readSkipCertificates,
} from './certificate-policies';
import type { CertificatePolicies } from './certificate-policies';
import {
  DerError,
  DerSequence,
  Tag,
  contextTag,
  readBits,
  readBoolean,
  readDer,
  readInteger,
  readNamedBits,
  readOid,
  readSmallInteger,
  readTime,
} from './der';
import type { Der } from './der';
import { readName, sameName } from './distinguished-name';
import type { DistinguishedName } from './distinguished-name';
import { readGeneralName } from './general-name';
import type { GeneralName } from './general-name';
import { weaknessOf } from './key-strength';
import { readNameConstraints } from './name-constraints';
import type { NameConstraints } from './name-constraints';
import { readPublicKey } from './public-key';
import { readSignatureAlgorithm } from './signature-algorithm';

export type KeyUse = (typeof KEY_USES)[number];
export type ExtendedKeyUse = 'clientAuth' | 'serverAuth' | 'any';

/** An X.509 v3 certificate (RFC 5280 §4), as far as a decision depends on it. */
export interface Certificate extends CertificatePolicies {
  readonly der: Uint8Array;
  readonly subject: DistinguishedName;
  readonly issuer: DistinguishedName;
  readonly isSelfIssued: boolean;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly publicKey: KeyObject;
  /** Undefined where the certificate has no basic constraints. */
  readonly isCa: boolean | undefined;
  readonly pathLength: number | undefined;
  readonly hasCriticalBasicConstraints: boolean;
  /** Undefined where it does not say. */
  readonly keyUsage: ReadonlySet<KeyUse> | undefined;
  readonly hasCriticalKeyUsage: boolean;
  readonly extendedKeyUsage: ReadonlySet<ExtendedKeyUse> | undefined;
  /** The alternative names. */
  readonly names: readonly GeneralName[];
  readonly uris: readonly string[];
  readonly nameConstraints: NameConstraints | undefined;
  /** Whether it identifies its own key. */
  readonly hasSubjectKeyIdentifier: boolean;
  /** Whether it identifies the key that signed it. */
  readonly hasAuthorityKeyIdentifier: boolean;
  /** Why no path may go through it, whatever the path: all that is wrong with it by itself. */
  readonly faults: readonly string[];
  /** Whether its signature is by an algorithm that proves something. */
  readonly hasStrongSignature: boolean;
  /** Whether the issuer's key signed it, with such an algorithm. */
  isSignedBy(issuer: Certificate): boolean;
}

/** Object identifiers by the hexadecimal digits of their encoding. */
const EXTENSION = {
  keyUsage: '551d0f',
  subjectAltName: '551d11',
  basicConstraints: '551d13',
  nameConstraints: '551d1e',
  certificatePolicies: '551d20',
  policyMappings: '551d21',
  policyConstraints: '551d24',
  extKeyUsage: '551d25',
  inhibitAnyPolicy: '551d36',
} as const;

/** RFC 5280 §4.2: a critical extension that is not processed makes the certificate unusable. */
const PROCESSED: ReadonlySet<string> = new Set(Object.values(EXTENSION));

/** RFC 5280 §4.2.1.1, §4.2.1.2: these help to find a path, and must not be critical. */
const SUBJECT_KEY_IDENTIFIER = '551d0e';
const AUTHORITY_KEY_IDENTIFIER = '551d23';

/** RFC 5280 §4.2.1.10, §4.2.1.11, §4.2.1.14: these must be critical. */
const ALWAYS_CRITICAL = ['nameConstraints', 'policyConstraints', 'inhibitAnyPolicy'] as const;

/** By the number of their bit (RFC 5280 §4.2.1.3). */
const KEY_USES = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
] as const;

const EXTENDED_KEY_USES: Readonly<Record<string, ExtendedKeyUse>> = {
  '2b06010505070301': 'serverAuth',
  '2b06010505070302': 'clientAuth',
  '551d2500': 'any',
};

const MAX_SERIAL_BYTES = 20;
const MAX_BYTES = 16 * 1024;

/**
 * Parses a certificate from its DER, strictly. Throws `certificate_malformed` for what is no certificate; what is one and not good has `faults`.
 */
export function parseCertificate(der: Uint8Array): Certificate {
  if (der.length > MAX_BYTES) throw malformed('it is larger than 16 KiB');
  try {
    return parse(der);
  } catch (cause) {
    if (cause instanceof DerError) throw malformed('it is not the DER of an X.509 v3 certificate', cause);
    throw cause;
  }
}

function parse(der: Uint8Array): Certificate {
  const outer = new DerSequence(readDer(der));
  const signed = outer.take(Tag.sequence);
  const tbs = new DerSequence(signed);
  const outerAlgorithm = outer.take(Tag.sequence);
  const signature = readBits(outer.take(Tag.bitString));
  outer.end();

  const version = new DerSequence(tbs.take(contextTag(0, 'constructed')), contextTag(0, 'constructed'));
  if (readSmallInteger(version.take(Tag.integer)) !== 2) throw malformed('it is not of version 3');
  version.end();
  const serial = readInteger(tbs.take(Tag.integer));
  const algorithm = tbs.take(Tag.sequence);
  // RFC 5280 §4.1.1.2: it is named twice, once of it signed.
  if (!Buffer.from(algorithm.encoded).equals(outerAlgorithm.encoded)) {
    throw malformed('it names two signature algorithms');
  }
  const issuer = readName(tbs.take(Tag.sequence));
  const validity = new DerSequence(tbs.take(Tag.sequence));
  const notBefore = takeTime(validity);
  const notAfter = takeTime(validity);
  validity.end();
  const subject = readName(tbs.take(Tag.sequence));
  const publicKey = publicKeyOf(tbs.take(Tag.sequence));
  tbs.takeIf(contextTag(1, 'primitive'));
  tbs.takeIf(contextTag(2, 'primitive'));
  const extensions = parseExtensions(tbs.takeIf(contextTag(3, 'constructed')));
  tbs.end();

  const valueOf = (name: keyof typeof EXTENSION) => extensions.get(EXTENSION[name])?.value;
  const isCritical = (name: keyof typeof EXTENSION) => extensions.get(EXTENSION[name])?.critical === true;
  const signatureAlgorithm = readSignatureAlgorithm(algorithm);
  const names = parseNames(valueOf('subjectAltName'));
  const certificate: Omit<Certificate, 'faults'> = {
    der,
    subject,
    issuer,
    isSelfIssued: sameName(subject, issuer),
    notBefore,
    notAfter,
    publicKey,
    ...parseBasicConstraints(valueOf('basicConstraints')),
    hasCriticalBasicConstraints: isCritical('basicConstraints'),
    keyUsage: parseKeyUsage(valueOf('keyUsage')),
    hasCriticalKeyUsage: isCritical('keyUsage'),
    extendedKeyUsage: parseExtendedKeyUsage(valueOf('extKeyUsage')),
    names,
    uris: names.flatMap((name) => (name.form === 'uri' ? [name.text] : [])),
    nameConstraints: optional(valueOf('nameConstraints'), readNameConstraints),
    hasSubjectKeyIdentifier: extensions.has(SUBJECT_KEY_IDENTIFIER),
    hasAuthorityKeyIdentifier: hasKeyIdentifier(extensions.get(AUTHORITY_KEY_IDENTIFIER)),
    policies: optional(valueOf('certificatePolicies'), readPolicies),
    mappings: optional(valueOf('policyMappings'), readPolicyMappings) ?? NO_MAPPINGS,
    ...(optional(valueOf('policyConstraints'), readPolicyConstraints) ?? NO_POLICY_CONSTRAINTS),
    inhibitAnyPolicy: optional(valueOf('inhibitAnyPolicy'), readSkipCertificates),
    hasStrongSignature: signatureAlgorithm !== undefined,
    isSignedBy: (by) => signatureAlgorithm?.isSignedBy(by.publicKey, signed.encoded, signature) === true,
  };
  return {
    ...certificate,
    faults: [
      ...serialFaults(serial),
      ...nameFaults(certificate, isCritical('subjectAltName')),
      ...keyFaults(certificate.publicKey),
      ...extensionFaults(certificate, extensions),
    ],
  };
}

const NO_MAPPINGS: CertificatePolicies['mappings'] = new Map();
const NO_POLICY_CONSTRAINTS = { requireExplicitPolicy: undefined, inhibitPolicyMapping: undefined };

function optional<T>(value: Der | undefined, read: (value: Der) => T): T | undefined {
  return value && read(value);
}

/** RFC 5280 §4.1.2.2. */
function serialFaults(serial: Uint8Array): readonly string[] {
  const isPositive = (serial[0] ?? 0) < 0x80 && serial.some((byte) => byte !== 0);
  return isPositive && serial.length <= MAX_SERIAL_BYTES
    ? []
    : ['its serial number is not positive, or longer than 20 bytes'];
}

function nameFaults(
  { subject, issuer, isCa }: Omit<Certificate, 'faults'>,
  hasCriticalNames: boolean,
): readonly string[] {
  const faults: string[] = [];
  // RFC 5280 §4.1.2.4.
  if (issuer.isEmpty) faults.push('its issuer is empty');
  // RFC 5280 §4.1.2.6: then the alternative name is all there is, and has to be understood.
  if (subject.isEmpty && !hasCriticalNames) {
    faults.push('its subject is empty, and its alternative names are not critical');
  }
  // RFC 5280 §4.1.2.6: whose subject is empty cannot be anybody's issuer.
  if (subject.isEmpty && isCa === true) faults.push('it is an authority, and its subject is empty');
  return faults;
}

function keyFaults(key: KeyObject): readonly string[] {
  const weakness = weaknessOf(key);
  return weakness === undefined ? [] : [weakness];
}

function extensionFaults(
  { isCa, pathLength, keyUsage, nameConstraints }: Omit<Certificate, 'faults'>,
  extensions: ReadonlyMap<string, Extension>,
): readonly string[] {
  const faults: string[] = [];
  for (const [oid, { critical }] of extensions) {
    if (critical && !PROCESSED.has(oid)) faults.push('it has a critical extension that is unknown here');
  }
  for (const name of ALWAYS_CRITICAL) {
    if (extensions.get(EXTENSION[name])?.critical === false) faults.push(`its ${name} are not critical`);
  }
  // RFC 5280 §4.2.1.9: only an authority's key signs certificates.
  if (isCa !== true && keyUsage?.has('keyCertSign') === true) {
    faults.push('its key may sign certificates, and it is no authority');
  }
  // RFC 5280 §4.2.1.9.
  if (isCa !== true && pathLength !== undefined) {
    faults.push('it has a path length, and is no authority');
  }
  // RFC 5280 §4.2.1.10.
  if (isCa !== true && nameConstraints) faults.push('it constrains names, and is no authority');
  return faults;
}

function takeTime(validity: DerSequence): Date {
  const time = validity.takeIf(Tag.utcTime, Tag.generalizedTime);
  if (!time) throw new DerError('a time is due');
  return readTime(time);
}

interface Extension {
  readonly critical: boolean;
  readonly content: Uint8Array;
  /** Of those that are processed. */
  readonly value: Der | undefined;
}

function parseExtensions(tagged: Der | undefined): ReadonlyMap<string, Extension> {
  const extensions = new Map<string, Extension>();
  if (!tagged) return extensions;
  const list = new DerSequence(tagged, contextTag(3, 'constructed'));
  for (const element of new DerSequence(list.take(Tag.sequence)).rest()) {
    const extension = new DerSequence(element);
    const oid = readOid(extension.take(Tag.objectIdentifier));
    const flag = extension.takeIf(Tag.boolean);
    const critical = flag !== undefined && readBoolean(flag);
    const content = extension.take(Tag.octetString).content;
    extension.end();
    if (extensions.has(oid)) throw malformed('it has an extension twice');
    extensions.set(oid, { critical, content, value: PROCESSED.has(oid) ? readDer(content) : undefined });
  }
  list.end();
  return extensions;
}

function parseBasicConstraints(value: Der | undefined): Pick<Certificate, 'isCa' | 'pathLength'> {
  if (!value) return { isCa: undefined, pathLength: undefined };
  const sequence = new DerSequence(value);
  const flag = sequence.takeIf(Tag.boolean);
  const length = sequence.takeIf(Tag.integer);
  sequence.end();
  return { isCa: flag !== undefined && readBoolean(flag), pathLength: length && readSmallInteger(length) };
}

/** RFC 5280 §4.2.1.1. What is not readable identifies no key. */
function hasKeyIdentifier(extension: Extension | undefined): boolean {
  if (!extension) return false;
  try {
    return new DerSequence(readDer(extension.content)).takeIf(contextTag(0, 'primitive')) !== undefined;
  } catch (error) {
    if (error instanceof DerError) return false;
    throw error;
  }
}

/** RFC 5280 §4.2.1.3. */
function parseKeyUsage(value: Der | undefined): ReadonlySet<KeyUse> | undefined {
  if (!value) return undefined;
  const bits = readNamedBits(value);
  return new Set(KEY_USES.filter((_, bit) => bits.has(bit)));
}

function parseExtendedKeyUsage(value: Der | undefined): ReadonlySet<ExtendedKeyUse> | undefined {
  if (!value) return undefined;
  const uses = new Set<ExtendedKeyUse>();
  const elements = new DerSequence(value).rest();
  if (elements.length === 0) throw new DerError('an empty list of uses');
  for (const element of elements) {
    const use = EXTENDED_KEY_USES[readOid(element)];
    if (use !== undefined) uses.add(use);
  }
  return uses;
}

/** RFC 5280 §4.2.1.6. */
function parseNames(value: Der | undefined): readonly GeneralName[] {
  if (!value) return [];
  const names = new DerSequence(value).rest();
  if (names.length === 0) throw malformed('its list of alternative names is empty');
  return names.map(readGeneralName);
}

function publicKeyOf(info: Der): KeyObject {
  try {
    return readPublicKey(info);
  } catch (cause) {
    throw malformed('its key cannot be read', cause);
  }
}

function malformed(why: string, cause?: unknown): SpiffeError {
  return new SpiffeError('certificate_malformed', `the certificate cannot be used: ${why}`, { cause });
}
