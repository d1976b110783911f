import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { sha256 } from '../../domain/digest';
import { AtbError } from '../../domain/error';
import { isKeyName } from '../../domain/signed-note';
import type { NoteSigner, NoteVerifier } from '../../domain/signed-note';

/**
 * Ed25519 keys of signed notes (https://c2sp.org/signed-note, signature type 0x01), in the texts that Go's
 * golang.org/x/mod/sumdb/note reads and writes: `name+keyid+base64(0x01 || public key)`, and
 * `PRIVATE+KEY+name+keyid+base64(0x01 || seed)`.
 */

const ED25519 = 0x01;
/** Timestamped Ed25519 cosignatures of checkpoints (https://c2sp.org/tlog-cosignature). */
const COSIGNATURE = 0x04;
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
const TIME_BYTES = 8;
const PRIVATE_PREFIX = 'PRIVATE+KEY+';
// RFC 8410 §7 and §4: the DER that stands before the 32 bytes of a private and of a public key.
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

/** Reads a verifier key (`vkey`). Throws `configuration_invalid`. */
export function parseVerifierKey(text: string): NoteVerifier & { readonly vkey: string } {
  const { name, key } = parsePublicKey(text, 'a verifier key', ED25519);
  return verifierOf(name, key);
}

/**
 * Reads the verifier key of a witness: signature type 0x04. What it verifies is a cosignature: the time, in eight bytes,
 * and a signature over that time and the note's text. Throws `configuration_invalid`.
 */
export function parseWitnessKey(text: string): NoteVerifier {
  const { name, keyId, key } = parsePublicKey(text, 'a verifier key of a witness', COSIGNATURE);
  const publicKey = ed25519(key);
  return {
    name,
    keyId,
    verify: (note, cosignature) => {
      if (cosignature.length !== TIME_BYTES + SIGNATURE_BYTES) return false;
      const time = Buffer.from(cosignature).readBigUInt64BE();
      const message = Buffer.from(`cosignature/v1\ntime ${time}\n${note}`);
      return verify(null, message, publicKey, cosignature.subarray(TIME_BYTES));
    },
  };
}

/** Reads a signer key. Throws `configuration_invalid`, without a word of the key. */
export function parseSignerKey(text: string): NoteSigner & { readonly vkey: string } {
  if (!text.startsWith(PRIVATE_PREFIX))
    throw invalid('a signer key', `it does not begin with ${PRIVATE_PREFIX}`);
  const { name, keyId, key: seed } = parseKey(text.slice(PRIVATE_PREFIX.length), 'a signer key', ED25519);
  const privateKey = createPrivateKey({
    key: Buffer.concat([PKCS8_PREFIX, seed]),
    format: 'der',
    type: 'pkcs8',
  });
  const publicKey = rawPublicKey(createPublicKey(privateKey));
  if (keyIdOf(name, publicKey) !== keyId)
    throw invalid('a signer key', 'its id is not that of its name and key');
  return { ...verifierOf(name, publicKey), sign: (note) => sign(null, Buffer.from(note), privateKey) };
}

/** A new signer key as text. */
export function generateSignerKey(name: string): string {
  if (!isKeyName(name)) throw invalid('a key name', 'it is empty, or has a space or a plus');
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const seed = privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(PKCS8_PREFIX.length);
  const keyId = keyIdOf(name, rawPublicKey(publicKey));
  return `${PRIVATE_PREFIX}${name}+${hex(keyId)}+${Buffer.from([ED25519, ...seed]).toString('base64')}`;
}

function verifierOf(name: string, key: Uint8Array): NoteVerifier & { readonly vkey: string } {
  const publicKey = ed25519(key);
  const keyId = keyIdOf(name, key);
  return {
    name,
    keyId,
    vkey: `${name}+${hex(keyId)}+${Buffer.from([ED25519, ...key]).toString('base64')}`,
    verify: (note, signature) => verify(null, Buffer.from(note), publicKey, signature),
  };
}

function ed25519(key: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([SPKI_PREFIX, key]), format: 'der', type: 'spki' });
}

function parsePublicKey(text: string, what: string, type: number) {
  const parsed = parseKey(text, what, type);
  if (keyIdOf(parsed.name, parsed.key, type) !== parsed.keyId)
    throw invalid(what, 'its id is not that of its name and key');
  return parsed;
}

/** `name+keyid+base64`: a name has no plus, base64 may. */
function parseKey(text: string, what: string, type: number) {
  const [, name = '', id = '', base64 = ''] =
    /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})$/.exec(text) ?? [];
  const bytes = Buffer.from(base64, 'base64');
  if (!isKeyName(name) || bytes.toString('base64') !== base64)
    throw invalid(what, 'it is not name+id+base64');
  if (bytes[0] !== type || bytes.length !== 1 + KEY_BYTES)
    throw invalid(what, `it is not of Ed25519, type ${type}`);
  return { name, keyId: Number.parseInt(id, 16), key: bytes.subarray(1) };
}

function keyIdOf(name: string, key: Uint8Array, type = ED25519): number {
  return Buffer.from(
    sha256(Buffer.concat([Buffer.from(`${name}\n`), Buffer.from([type]), key])),
  ).readUInt32BE();
}

function rawPublicKey(key: KeyObject): Uint8Array {
  return key.export({ format: 'der', type: 'spki' }).subarray(SPKI_PREFIX.length);
}

function hex(keyId: number): string {
  return keyId.toString(16).padStart(8, '0');
}

function invalid(what: string, why: string): AtbError {
  return new AtbError('configuration_invalid', `this is not ${what} of a log: ${why}`);
}
