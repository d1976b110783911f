import { createPublicKey } from 'node:crypto';
import type { JsonWebKey, KeyObject } from 'node:crypto';
import { DerError, DerSequence, Tag, readBits, readDer, readInteger, readOid } from './der';
import type { Der } from './der';

const RSA = '2a864886f70d010101'; // RFC 3279 §2.3.1
const EC = '2a8648ce3d0201'; // RFC 5480 §2.1
const ED25519 = '2b6570'; // RFC 8410 §3
const UNCOMPRESSED = 0x04;

/** RFC 5480 §2.1.1.1. */
const CURVES: Readonly<Record<string, { readonly crv: string; readonly bytes: number }>> = {
  '2a8648ce3d030107': { crv: 'P-256', bytes: 32 },
  '2b81040022': { crv: 'P-384', bytes: 48 },
  '2b81040023': { crv: 'P-521', bytes: 66 },
};

/**
 * Reads a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7). The kinds that are in use are taken apart here, as OpenSSL's decoder
 * takes ten times as long for them; any other is its own to read. Throws DerError, and what Node throws for a key that
 * is none, such as a point that is not on its curve.
 */
export function readPublicKey(info: Der): KeyObject {
  const jwk = jwkOf(info);
  return jwk
    ? createPublicKey({ key: jwk, format: 'jwk' })
    : createPublicKey({ key: Buffer.from(info.encoded), format: 'der', type: 'spki' });
}

function jwkOf(info: Der): JsonWebKey | undefined {
  const sequence = new DerSequence(info);
  const identifier = new DerSequence(sequence.take(Tag.sequence));
  const bits = readBits(sequence.take(Tag.bitString));
  sequence.end();
  const oid = readOid(identifier.take(Tag.objectIdentifier));
  const [parameters, ...more] = identifier.rest();
  if (more.length > 0) return undefined;
  if (oid === RSA && parameters?.tag === Tag.null) {
    const numbers = new DerSequence(readDer(bits));
    const n = readInteger(numbers.take(Tag.integer));
    const e = readInteger(numbers.take(Tag.integer));
    numbers.end();
    if ([n, e].some(([first = 0]) => first >= 0x80)) throw new DerError('a negative number');
    return { kty: 'RSA', n: base64url(n), e: base64url(e) };
  }
  if (oid === ED25519 && !parameters) return { kty: 'OKP', crv: 'Ed25519', x: base64url(bits) };
  if (oid !== EC || parameters?.tag !== Tag.objectIdentifier) return undefined;
  const { crv, bytes = 0 } = CURVES[readOid(parameters)] ?? {};
  if (crv === undefined || bits[0] !== UNCOMPRESSED || bits.length !== 1 + 2 * bytes) return undefined;
  return {
    kty: 'EC',
    crv,
    x: base64url(bits.subarray(1, 1 + bytes)),
    y: base64url(bits.subarray(1 + bytes)),
  };
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url');
}
