import { DerError, DerSequence, Tag, contextTag, readOid } from './der';
import type { Der } from './der';

/** By their object identifiers: no SHA-1, no MD5, nothing that brings parameters of its own but RSASSA-PSS. */
const WITHOUT_PARAMETERS: ReadonlySet<string> = new Set([
  '2a8648ce3d040302', // ecdsa-with-SHA256 (RFC 5758 §3.2)
  '2a8648ce3d040303', // ecdsa-with-SHA384
  '2a8648ce3d040304', // ecdsa-with-SHA512
  '2b6570', // Ed25519 (RFC 8410 §3)
]);
/** RFC 4055 §5: their parameters are NULL, or absent. */
const RSA_PKCS1: ReadonlySet<string> = new Set([
  '2a864886f70d01010b', // sha256WithRSAEncryption
  '2a864886f70d01010c', // sha384WithRSAEncryption
  '2a864886f70d01010d', // sha512WithRSAEncryption
]);
const RSA_PSS = '2a864886f70d01010a';
const MGF1 = '2a864886f70d010108';
const HASHES: ReadonlySet<string> = new Set([
  '608648016503040201', // SHA-256
  '608648016503040202', // SHA-384
  '608648016503040203', // SHA-512
]);

/** Whether signatures of that algorithm prove anything; what cannot be read does not. */
export function isStrongSignature(algorithm: Der): boolean {
  try {
    const sequence = new DerSequence(algorithm);
    const oid = readOid(sequence.take(Tag.objectIdentifier));
    const [parameters, ...more] = sequence.rest();
    if (more.length > 0) return false;
    if (WITHOUT_PARAMETERS.has(oid)) return parameters === undefined;
    if (RSA_PKCS1.has(oid)) return parameters === undefined || isNull(parameters);
    return oid === RSA_PSS && parameters !== undefined && isStrongPss(parameters);
  } catch (error) {
    if (error instanceof DerError) return false;
    throw error;
  }
}

/** RFC 4055 §3.1: hash and mask are SHA-1 unless said, so both must be said, and be the same. */
function isStrongPss(parameters: Der): boolean {
  const sequence = new DerSequence(parameters);
  const hash = readHash(explicit(sequence.take(contextTag(0, 'constructed'))));
  const mask = new DerSequence(explicit(sequence.take(contextTag(1, 'constructed'))));
  if (readOid(mask.take(Tag.objectIdentifier)) !== MGF1) return false;
  const maskHash = readHash(mask.take(Tag.sequence));
  mask.end();
  sequence.takeIf(contextTag(2, 'constructed'));
  // A trailer other than the one that is meant unless said does not exist.
  sequence.end();
  return HASHES.has(hash) && maskHash === hash;
}

function readHash(algorithm: Der): string {
  const sequence = new DerSequence(algorithm);
  const oid = readOid(sequence.take(Tag.objectIdentifier));
  const parameters = sequence.rest();
  if (!parameters.every(isNull) || parameters.length > 1)
    throw new DerError('a hash without parameters is due');
  return oid;
}

function explicit(tagged: Der): Der {
  const [inner, ...more] = new DerSequence(tagged, tagged.tag).rest();
  if (!inner || more.length > 0) throw new DerError('one element is due');
  return inner;
}

function isNull({ tag, content }: Der): boolean {
  return tag === Tag.null && content.length === 0;
}
