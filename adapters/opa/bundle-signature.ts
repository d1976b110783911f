import { createHash, createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { basename } from 'node:path';
import { CompactSign, compactVerify } from 'jose';
import { AtbError } from '../../domain/error';
import { isJsonObject } from '../../domain/json';

export const SIGNATURES_FILE = '.signatures.json';

export interface SigningKey {
  readonly privateKey: KeyObject;
  /** What an OPA that verifies calls the key: `keys.<id>` of its configuration. */
  readonly keyId: string;
}

type Files = ReadonlyMap<string, Uint8Array>;

/** OPA's configuration takes these (and no EdDSA) for the keys of bundles; one algorithm for each kind of key. */
export function algorithmOf(key: KeyObject): 'ES256' | 'ES384' | 'RS256' {
  const { asymmetricKeyType, asymmetricKeyDetails } = key;
  if (asymmetricKeyType === 'rsa') return 'RS256';
  if (asymmetricKeyType === 'ec' && asymmetricKeyDetails?.namedCurve === 'prime256v1') return 'ES256';
  if (asymmetricKeyType === 'ec' && asymmetricKeyDetails?.namedCurve === 'secp384r1') return 'ES384';
  throw new AtbError('configuration_invalid', 'a policy key is an EC key of P-256 or P-384, or an RSA key');
}

/** The token of `.signatures.json`: a JWS over the digests of all files (OPA docs, "Signature Format"). */
export async function signFiles(files: Files, { privateKey, keyId }: SigningKey): Promise<string> {
  const claims = {
    files: [...files]
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([name, content]) => ({ name, hash: digestOf(name, content), algorithm: 'SHA-256' })),
    keyid: keyId,
  };
  return new CompactSign(Buffer.from(JSON.stringify(claims)))
    .setProtectedHeader({ alg: algorithmOf(privateKey), typ: 'JWT', kid: keyId })
    .sign(privateKey);
}

/** Throws `policy_bundle_refused` unless the one signature is by this key, over exactly these files. */
export async function verifyFiles(files: Files, publicKeyPem: string): Promise<void> {
  const publicKey = createPublicKey(publicKeyPem);
  const signed = await signedDigests(tokenOf(files), publicKey);
  for (const [name, content] of files) {
    if (name === SIGNATURES_FILE) continue;
    const expected = signed.get(name);
    if (expected === undefined) throw refused(`has ${name}, which is not signed`);
    if (expected !== digestOf(name, content)) throw refused(`has another ${name} than the signed one`);
    signed.delete(name);
  }
  if (signed.size > 0) throw refused(`lacks ${[...signed.keys()].join(', ')}, which is signed`);
}

function tokenOf(files: Files): string {
  const file = files.get(SIGNATURES_FILE);
  if (!file) throw refused('is not signed');
  const content = parsed(file);
  const tokens = isJsonObject(content) ? content.signatures : undefined;
  const [token, ...more] = Array.isArray(tokens) ? (tokens as readonly unknown[]) : [];
  if (typeof token !== 'string' || more.length > 0) throw refused('has not exactly one signature');
  return token;
}

async function signedDigests(token: string, key: KeyObject): Promise<Map<string, string>> {
  let payload: Uint8Array;
  try {
    ({ payload } = await compactVerify(token, key, { algorithms: [algorithmOf(key)] }));
  } catch (cause) {
    throw refused('was signed by another key, or altered', cause);
  }
  const claims = parsed(payload);
  const entries =
    isJsonObject(claims) && Array.isArray(claims.files) ? (claims.files as readonly unknown[]) : [];
  const digests = new Map<string, string>();
  for (const entry of entries) {
    const { name, hash, algorithm } = isJsonObject(entry) ? entry : {};
    if (
      typeof name !== 'string' ||
      typeof hash !== 'string' ||
      algorithm !== 'SHA-256' ||
      digests.has(name)
    ) {
      throw refused('has a signature that does not say which files it is for');
    }
    digests.set(name, hash);
  }
  return digests;
}

/** A structured document is hashed by its content, everything else by its bytes (OPA: v1/bundle/hash.go). */
function digestOf(name: string, content: Uint8Array): string {
  const hash = createHash('sha256');
  const structured = ['data.json', '.manifest'].includes(basename(name));
  return hash.update(structured ? structuredText(parsed(content)) : content).digest('hex');
}

function structuredText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(structuredText).join(',')}]`;
  if (!isJsonObject(value)) return goString(JSON.stringify(value));
  const members = Object.entries(value)
    .sort(([left], [right]) => Buffer.compare(Buffer.from(left), Buffer.from(right)))
    .map(([name, member]) => `${goString(JSON.stringify(name))}:${structuredText(member)}`);
  return `{${members.join(',')}}`;
}

/** Go's encoder escapes the two line separators, ECMAScript's does not. */
function goString(text: string): string {
  return text.replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029');
}

function parsed(content: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(content).toString('utf8'));
  } catch (cause) {
    throw refused('has a document that is not JSON', cause);
  }
}

function refused(what: string, cause?: unknown): AtbError {
  return new AtbError('policy_bundle_refused', `the policy bundle ${what}`, { cause });
}
