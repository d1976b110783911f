import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { calculateJwkThumbprint } from 'jose';
import { decodeBase64url } from '../../domain/compact-jws';
import { AtbError } from '../../domain/error';
import { isJsonObject } from '../../domain/json';
import type { Json } from '../../domain/json';
import { parseStrictJson } from '../../domain/strict-json';
import { Ed25519MandateSigner } from './mandate-signer';

/** A public mandate key (RFC 7517 §4, RFC 8037 §2). */
export interface MandateJwk {
  readonly kty: 'OKP';
  readonly crv: 'Ed25519';
  readonly x: string;
  /** The key's RFC 7638 thumbprint. */
  readonly kid: string;
  readonly alg: 'EdDSA';
  readonly use: 'sig';
}

export interface MandateJwks {
  readonly keys: readonly MandateJwk[];
}

/** Public keys by their `kid`. */
export type MandateVerificationKeys = ReadonlyMap<string, KeyObject>;

/** The keys of one issuer: one that signs, and all by which its mandates verify. */
export interface MandateKeySet {
  readonly signer: Ed25519MandateSigner;
  /** To publish; there is no private part in it. */
  readonly jwks: MandateJwks;
}

const ED25519_KEY_BYTES = 32;
const KEY_SET_FILE = 'mandate-keys.json';

/**
 * Reads a key set file: `{"keys": [{"kid", "status": "active", "private_key_file"}, {"kid", "status": "verify_only",
 * "public_jwk"}]}`, paths relative to the file. Exactly one key is active. A key that only verifies is given by its
 * public part, and one that comes with a private part all the same is refused, for whoever holds it could sign with
 * it. Throws `configuration_invalid`.
 */
export async function loadMandateKeySet(path: string): Promise<MandateKeySet> {
  const file = parseFile(readText(path), path);
  if (!isJsonObject(file) || !Array.isArray(file.keys)) throw invalid(`${path} has no list "keys"`);
  const signers: Ed25519MandateSigner[] = [];
  const published: MandateJwk[] = [];
  for (const entry of file.keys as readonly Json[]) {
    if (!isJsonObject(entry)) throw invalid(`${path} has a key that is not an object`);
    const { kid, status, private_key_file: privateKeyFile, public_jwk: publicJwk, ...unknown } = entry;
    if (Object.keys(unknown).length > 0) throw invalid(`${path} has a key with an unknown member`);
    if (status === 'active' && typeof privateKeyFile === 'string' && publicJwk === undefined) {
      const signer = await mandateSignerFromPkcs8(readText(resolve(dirname(path), privateKeyFile)));
      if (signer.kid !== kid) throw invalid(`${path}: the kid of ${privateKeyFile} is ${signer.kid}`);
      signers.push(signer);
      published.push(await publicJwkOf(signer.publicKey));
    } else if (status === 'verify_only' && privateKeyFile === undefined && publicJwk !== undefined) {
      const jwk = parseJwk(publicJwk);
      if (jwk.kid !== kid || (await publicJwkOf(toKeyObject(jwk))).kid !== kid) {
        throw invalid(`${path} has a key that only verifies, and whose kid is not its thumbprint`);
      }
      published.push(jwk);
    } else {
      throw invalid(
        `${path} has a key that is neither active with a private_key_file nor verify_only with a public_jwk`,
      );
    }
  }
  const [signer, ...others] = signers;
  if (!signer || others.length > 0) throw invalid(`${path} must have exactly one active key`);
  const jwks = { keys: published };
  importMandateJwks(jwks);
  return { signer, jwks };
}

/** Makes a key and its key set file in the folder, readable by its owner alone; answers the file's path. */
export async function writeNewMandateKeySet(folder: string): Promise<string> {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const { kid } = await publicJwkOf(publicKey);
  const privateKeyFile = `mandate-key-${kid}.pem`;
  const path = join(folder, KEY_SET_FILE);
  const keySet = { keys: [{ kid, status: 'active', private_key_file: privateKeyFile }] };
  mkdirSync(folder, { recursive: true });
  // Never over another one: mandates that it signed would verify no more.
  const options = { mode: 0o600, flag: 'wx' };
  writeFileSync(join(folder, privateKeyFile), privateKey.export({ type: 'pkcs8', format: 'pem' }), options);
  writeFileSync(path, `${JSON.stringify(keySet, null, 2)}\n`, options);
  return path;
}

/** A signer from an Ed25519 private key, PKCS#8 PEM (RFC 8410 §7). Throws `configuration_invalid`, also for a public key. */
export async function mandateSignerFromPkcs8(pem: string): Promise<Ed25519MandateSigner> {
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey(pem);
  } catch (cause) {
    throw invalid('a mandate key that signs is a private key, PKCS#8 PEM', cause);
  }
  if (privateKey.asymmetricKeyType !== 'ed25519') throw invalid('a mandate key is an Ed25519 key');
  const publicKey = createPublicKey(privateKey);
  return new Ed25519MandateSigner(privateKey, publicKey, (await publicJwkOf(publicKey)).kid);
}

/** The public form of an Ed25519 key. */
export async function publicJwkOf(publicKey: KeyObject): Promise<MandateJwk> {
  const { x } = publicKey.export({ format: 'jwk' });
  if (publicKey.asymmetricKeyType !== 'ed25519' || x === undefined)
    throw invalid('a mandate key is an Ed25519 key');
  const kid = await calculateJwkThumbprint({ kty: 'OKP', crv: 'Ed25519', x });
  return { kty: 'OKP', crv: 'Ed25519', x, kid, alg: 'EdDSA', use: 'sig' };
}

/**
 * Reads a JWK Set (RFC 7517 §5) of mandate keys, as an AgentAuth publishes it. Each key is for Ed25519 signatures and
 * nothing else; two with one kid, and private parts, are refused. Throws `configuration_invalid`.
 */
export function importMandateJwks(jwks: unknown): MandateVerificationKeys {
  if (!isJsonObject(jwks) || !Array.isArray(jwks.keys)) throw invalid('a JWK Set has a list "keys"');
  const keys = new Map<string, KeyObject>();
  for (const element of jwks.keys as readonly Json[]) {
    const jwk = parseJwk(element);
    if (keys.has(jwk.kid)) throw invalid('two mandate keys have one kid');
    keys.set(jwk.kid, toKeyObject(jwk));
  }
  if (keys.size === 0) throw invalid('there is no mandate key');
  return keys;
}

function parseJwk(jwk: Json): MandateJwk {
  if (!isJsonObject(jwk)) throw invalid('a JWK is an object');
  const { kty, crv, x, kid, alg, use } = jwk;
  if ('d' in jwk) throw invalid('a private key is where only public ones belong');
  if (kty !== 'OKP' || crv !== 'Ed25519' || alg !== 'EdDSA' || use !== 'sig') {
    throw invalid('a mandate key has kty OKP, crv Ed25519, alg EdDSA and use sig');
  }
  if (typeof kid !== 'string' || kid === '') throw invalid('a mandate key has a kid');
  if (typeof x !== 'string' || decodeBase64url(x)?.length !== ED25519_KEY_BYTES) {
    throw invalid('the x of an Ed25519 key is 32 bytes in base64url');
  }
  return { kty, crv, x, kid, alg, use };
}

function toKeyObject({ kty, crv, x }: MandateJwk): KeyObject {
  return createPublicKey({ key: { kty, crv, x }, format: 'jwk' });
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw invalid(`${path} cannot be read`, cause);
  }
}

function parseFile(text: string, path: string): Json {
  try {
    return parseStrictJson(text);
  } catch (cause) {
    throw invalid(`${path} is not JSON`, cause);
  }
}

function invalid(message: string, cause?: unknown): AtbError {
  return new AtbError('configuration_invalid', message, { cause });
}
