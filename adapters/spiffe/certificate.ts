import { X509Certificate } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { SpiffeError } from './error';
import {
  DerError,
  DerSequence,
  Tag,
  contextTag,
  expectTag,
  readBoolean,
  readDer,
  readInteger,
  readNamedBits,
  readOid,
  readSmallInteger,
  readTime,
} from './der';
import type { Der } from './der';

export type KeyUse = 'digitalSignature' | 'keyCertSign' | 'cRLSign';
export type ExtendedKeyUse = 'clientAuth' | 'serverAuth' | 'any';

/** An X.509 v3 certificate (RFC 5280 §4), as far as a decision depends on it. */
export interface Certificate {
  readonly der: Uint8Array;
  /** Encoded names, which are compared byte by byte. */
  readonly subject: Uint8Array;
  readonly issuer: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly publicKey: KeyObject;
  /** Undefined where the certificate has no basic constraints. */
  readonly isCa: boolean | undefined;
  readonly pathLength: number | undefined;
  /** Undefined where it does not say. */
  readonly keyUsage: ReadonlySet<KeyUse> | undefined;
  readonly extendedKeyUsage: ReadonlySet<ExtendedKeyUse> | undefined;
  readonly uris: readonly string[];
  readonly hasNameConstraints: boolean;
  /** Whether the issuer's key signed it. */
  isSignedBy(issuer: Certificate): boolean;
}

/** Object identifiers by the hexadecimal digits of their encoding. */
const EXTENSION = {
  keyUsage: '551d0f',
  subjectAltName: '551d11',
  basicConstraints: '551d13',
  nameConstraints: '551d1e',
  extKeyUsage: '551d25',
} as const;

/** RFC 5280 §4.2: a critical extension that is not processed makes the certificate unusable. */
const PROCESSED: ReadonlySet<string> = new Set(Object.values(EXTENSION));

/** No SHA-1, no MD5, nothing that brings parameters of its own. */
const SIGNATURE_ALGORITHMS: ReadonlySet<string> = new Set([
  '2a8648ce3d040302', // ecdsa-with-SHA256
  '2a8648ce3d040303', // ecdsa-with-SHA384
  '2a8648ce3d040304', // ecdsa-with-SHA512
  '2a864886f70d01010b', // sha256WithRSAEncryption
  '2a864886f70d01010c', // sha384WithRSAEncryption
  '2a864886f70d01010d', // sha512WithRSAEncryption
  '2b6570', // Ed25519
]);

const EXTENDED_KEY_USES: Readonly<Record<string, ExtendedKeyUse>> = {
  '2b06010505070301': 'serverAuth',
  '2b06010505070302': 'clientAuth',
  '551d2500': 'any',
};

const CURVES: ReadonlySet<string | undefined> = new Set(['prime256v1', 'secp384r1', 'secp521r1']);
const MIN_RSA_BITS = 2048;
/** Larger ones only cost time. */
const MAX_RSA_BITS = 8192;
const MAX_SERIAL_BYTES = 20;
const MAX_BYTES = 16 * 1024;
const EMPTY_NAME_BYTES = 2;

/**
 * Parses a certificate from its DER, strictly: twice, in fact, by Node's OpenSSL for key and signature, and here for
 * what decides. Throws `certificate_malformed`, also for algorithms and keys that are too weak and for critical
 * extensions that are unknown.
 */
export function parseCertificate(der: Uint8Array): Certificate {
  if (der.length > MAX_BYTES) throw malformed('it is too large');
  try {
    return parse(der);
  } catch (cause) {
    if (cause instanceof DerError) throw malformed('it is not the DER of an X.509 v3 certificate', cause);
    throw cause;
  }
}

function parse(der: Uint8Array): Certificate {
  const outer = new DerSequence(readDer(der));
  const tbs = new DerSequence(outer.take(Tag.sequence));
  const outerAlgorithm = outer.take(Tag.sequence);
  outer.take(Tag.bitString);
  outer.end();

  const version = new DerSequence(tbs.take(contextTag(0, 'constructed')), contextTag(0, 'constructed'));
  if (readSmallInteger(version.take(Tag.integer)) !== 2) throw malformed('it is not of version 3');
  version.end();
  checkSerialNumber(readInteger(tbs.take(Tag.integer)));
  checkSignatureAlgorithm(tbs.take(Tag.sequence), outerAlgorithm);
  const issuer = tbs.take(Tag.sequence).encoded;
  const validity = new DerSequence(tbs.take(Tag.sequence));
  const notBefore = takeTime(validity);
  const notAfter = takeTime(validity);
  validity.end();
  const subject = tbs.take(Tag.sequence).encoded;
  tbs.take(Tag.sequence);
  tbs.takeIf(contextTag(1, 'primitive'));
  tbs.takeIf(contextTag(2, 'primitive'));
  const extensions = parseExtensions(tbs.takeIf(contextTag(3, 'constructed')));
  tbs.end();

  if (issuer.length === EMPTY_NAME_BYTES) throw malformed('its issuer is empty');
  const names = extensions.get(EXTENSION.subjectAltName);
  // RFC 5280 §4.1.2.6: then the alternative name is all there is, and has to be understood.
  if (subject.length === EMPTY_NAME_BYTES && names?.critical !== true) throw malformed('it has no name');

  const basicConstraints = parseBasicConstraints(extensions.get(EXTENSION.basicConstraints));
  // RFC 5280 §4.1.2.6: whose subject is empty cannot be anybody's issuer.
  if (basicConstraints.isCa === true && subject.length === EMPTY_NAME_BYTES)
    throw malformed('its subject is empty');
  const openssl = parseWithOpenssl(der);
  const publicKey = publicKeyOf(openssl);
  return {
    der,
    subject,
    issuer,
    notBefore,
    notAfter,
    publicKey,
    ...basicConstraints,
    keyUsage: parseKeyUsage(extensions.get(EXTENSION.keyUsage)?.value),
    extendedKeyUsage: parseExtendedKeyUsage(extensions.get(EXTENSION.extKeyUsage)?.value),
    uris: parseUris(names?.value),
    hasNameConstraints: extensions.has(EXTENSION.nameConstraints),
    isSignedBy: (by) => openssl.verify(by.publicKey),
  };
}

function checkSerialNumber(serial: Uint8Array): void {
  const isPositive = (serial[0] ?? 0) < 0x80 && serial.some((byte) => byte !== 0);
  if (!isPositive || serial.length > MAX_SERIAL_BYTES) {
    throw malformed('its serial number is not positive, or longer than 20 bytes');
  }
}

/** RFC 5280 §4.1.1.2: the algorithm is named twice, once of it signed, and both must be the same. */
function checkSignatureAlgorithm(inner: Der, outer: Der): void {
  if (!Buffer.from(inner.encoded).equals(outer.encoded)) throw malformed('it names two signature algorithms');
  if (!SIGNATURE_ALGORITHMS.has(readOid(new DerSequence(inner).take(Tag.objectIdentifier)))) {
    throw malformed('its signature algorithm is weak or unknown');
  }
}

function takeTime(validity: DerSequence): Date {
  const time = validity.takeIf(Tag.utcTime, Tag.generalizedTime);
  if (!time) throw new DerError('a time is due');
  return readTime(time);
}

interface Extension {
  readonly critical: boolean;
  readonly value: Der;
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
    if (!PROCESSED.has(oid)) {
      if (critical) throw malformed('it has a critical extension that is unknown here');
      continue;
    }
    extensions.set(oid, { critical, value: readDer(content) });
  }
  list.end();
  return extensions;
}

function parseBasicConstraints(extension: Extension | undefined): Pick<Certificate, 'isCa' | 'pathLength'> {
  if (!extension) return { isCa: undefined, pathLength: undefined };
  const sequence = new DerSequence(extension.value);
  const flag = sequence.takeIf(Tag.boolean);
  const length = sequence.takeIf(Tag.integer);
  sequence.end();
  const isCa = flag !== undefined && readBoolean(flag);
  // RFC 5280 §4.2.1.9.
  if (isCa && !extension.critical) throw malformed('its basic constraints are not critical');
  return { isCa, pathLength: length && readSmallInteger(length) };
}

/** RFC 5280 §4.2.1.3. */
function parseKeyUsage(value: Der | undefined): ReadonlySet<KeyUse> | undefined {
  if (!value) return undefined;
  const bits = readNamedBits(value);
  const uses = new Set<KeyUse>();
  if (bits.has(0)) uses.add('digitalSignature');
  if (bits.has(5)) uses.add('keyCertSign');
  if (bits.has(6)) uses.add('cRLSign');
  return uses;
}

function parseExtendedKeyUsage(value: Der | undefined): ReadonlySet<ExtendedKeyUse> | undefined {
  if (!value) return undefined;
  const uses = new Set<ExtendedKeyUse>();
  for (const element of new DerSequence(value).rest()) {
    const use = EXTENDED_KEY_USES[readOid(element)];
    if (use !== undefined) uses.add(use);
  }
  return uses;
}

/** The URIs among the alternative names (RFC 5280 §4.2.1.6). */
function parseUris(value: Der | undefined): readonly string[] {
  if (!value) return [];
  const names = new DerSequence(value).rest();
  if (names.length === 0) throw malformed('its list of alternative names is empty');
  for (const { tag } of names) {
    // A GeneralName has the context tags 0 to 8.
    if ((tag & 0xc0) !== 0x80 || (tag & 0x1f) > 8) throw new DerError('not a name');
  }
  return names
    .filter(({ tag }) => (tag & 0x1f) === 6)
    .map((name) => Buffer.from(expectTag(name, contextTag(6, 'primitive')).content).toString('latin1'));
}

function parseWithOpenssl(der: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(der);
  } catch (cause) {
    throw malformed('it cannot be read', cause);
  }
}

function publicKeyOf(certificate: X509Certificate): KeyObject {
  let key: KeyObject;
  try {
    key = certificate.publicKey;
  } catch (cause) {
    throw malformed('its key cannot be read', cause);
  }
  const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {};
  const isStrong =
    key.asymmetricKeyType === 'ed25519' ||
    (key.asymmetricKeyType === 'ec' && CURVES.has(namedCurve)) ||
    (key.asymmetricKeyType === 'rsa' && modulusLength >= MIN_RSA_BITS && modulusLength <= MAX_RSA_BITS);
  if (!isStrong) throw malformed('its key is weak or of an unknown type');
  return key;
}

function malformed(why: string, cause?: unknown): SpiffeError {
  return new SpiffeError('certificate_malformed', `the certificate cannot be used: ${why}`, { cause });
}
