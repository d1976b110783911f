import { constants, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { DerError, DerSequence, Tag, contextTag, readOid, readSmallInteger } from './der';
import type { Der } from './der';

/** An algorithm whose signatures prove something. */
export interface SignatureAlgorithm {
  /** Whether the key made the signature over the content; false for a key of another kind. */
  isSignedBy(key: KeyObject, content: Uint8Array, signature: Uint8Array): boolean;
}

type Hash = 'sha256' | 'sha384' | 'sha512';

/** By their object identifiers: no SHA-1, no MD5. */
const ECDSA: Readonly<Record<string, Hash>> = {
  '2a8648ce3d040302': 'sha256', // ecdsa-with-SHA256 (RFC 5758 §3.2)
  '2a8648ce3d040303': 'sha384',
  '2a8648ce3d040304': 'sha512',
};
const RSA_PKCS1: Readonly<Record<string, Hash>> = {
  '2a864886f70d01010b': 'sha256', // sha256WithRSAEncryption (RFC 4055 §5)
  '2a864886f70d01010c': 'sha384',
  '2a864886f70d01010d': 'sha512',
};
const HASHES: Readonly<Record<string, Hash>> = {
  '608648016503040201': 'sha256',
  '608648016503040202': 'sha384',
  '608648016503040203': 'sha512',
};
const ED25519 = '2b6570'; // RFC 8410 §3
const RSA_PSS = '2a864886f70d01010a';
const MGF1 = '2a864886f70d010108';
/** RFC 4055 §3.1, where the parameters do not say. */
const DEFAULT_SALT_BYTES = 20;

/** Reads an algorithm identifier; undefined where it is weak, unknown, or not written as it must be. */
export function readSignatureAlgorithm(identifier: Der): SignatureAlgorithm | undefined {
  try {
    return read(identifier);
  } catch (error) {
    if (error instanceof DerError) return undefined;
    throw error;
  }
}

function read(identifier: Der): SignatureAlgorithm | undefined {
  const sequence = new DerSequence(identifier);
  const oid = readOid(sequence.take(Tag.objectIdentifier));
  const [parameters, ...more] = sequence.rest();
  if (more.length > 0) return undefined;
  const hash = ECDSA[oid];
  if (hash !== undefined && !parameters) return algorithm(hash, ['ec']);
  if (oid === ED25519 && !parameters) return algorithm(null, ['ed25519']);
  const rsaHash = RSA_PKCS1[oid];
  if (rsaHash !== undefined && (!parameters || isNull(parameters))) return algorithm(rsaHash, ['rsa']);
  return oid === RSA_PSS && parameters ? readPss(parameters) : undefined;
}

function algorithm(
  hash: Hash | null,
  keyTypes: readonly (string | undefined)[],
  options: { readonly padding?: number; readonly saltLength?: number } = {},
): SignatureAlgorithm {
  return {
    isSignedBy: (key, content, signature) =>
      keyTypes.includes(key.asymmetricKeyType) && verify(hash, content, { key, ...options }, signature),
  };
}

/** RFC 4055 §3.1: hash and mask are SHA-1 unless said, so both must be said, and be the same. */
function readPss(parameters: Der): SignatureAlgorithm | undefined {
  const sequence = new DerSequence(parameters);
  const hash = readHash(explicit(sequence.take(contextTag(0, 'constructed'))));
  const mask = new DerSequence(explicit(sequence.take(contextTag(1, 'constructed'))));
  if (readOid(mask.take(Tag.objectIdentifier)) !== MGF1) return undefined;
  const maskHash = readHash(mask.take(Tag.sequence));
  mask.end();
  const salt = sequence.takeIf(contextTag(2, 'constructed'));
  // There is no trailer but the one that is meant unless said.
  sequence.end();
  const saltLength = salt ? readSmallInteger(explicit(salt)) : DEFAULT_SALT_BYTES;
  if (hash === undefined || maskHash !== hash) return undefined;
  return algorithm(hash, ['rsa', 'rsa-pss'], { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength });
}

function readHash(identifier: Der): Hash | undefined {
  const sequence = new DerSequence(identifier);
  const oid = readOid(sequence.take(Tag.objectIdentifier));
  const parameters = sequence.rest();
  if (!parameters.every(isNull) || parameters.length > 1)
    throw new DerError('a hash without parameters is due');
  return HASHES[oid];
}

function explicit(tagged: Der): Der {
  const [inner, ...more] = new DerSequence(tagged, tagged.tag).rest();
  if (!inner || more.length > 0) throw new DerError('one element is due');
  return inner;
}

function isNull({ tag, content }: Der): boolean {
  return tag === Tag.null && content.length === 0;
}
