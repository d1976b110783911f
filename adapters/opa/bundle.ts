import { createHash } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import { createTar, parseTar } from 'nanotar';
import { AtbError } from '../../domain/error';
import { canonicalJson } from '../../domain/canonical-json';
import { isJsonObject } from '../../domain/json';
import type { JsonObject } from '../../domain/json';
import { signFiles, SIGNATURES_FILE, verifyFiles } from './bundle-signature';
import type { SigningKey } from './bundle-signature';

/** What a bundle is made from: the built rules and data, and the same rules as Rego for an OPA sidecar. */
export interface BundleSource {
  readonly wasm: Uint8Array;
  readonly data: JsonObject;
  /** By path in the bundle, for example `atb/poa.rego`. */
  readonly rego: Readonly<Record<string, Uint8Array>>;
}

/** A bundle that was opened: its revision is the digest of what is in it. */
export interface PolicyBundle {
  readonly revision: string;
  /** Base64url SHA-256 over everything in it but the signature: all of what the revision begins. */
  readonly digest: string;
  readonly data: JsonObject;
  readonly wasm: Uint8Array;
}

type Files = ReadonlyMap<string, Uint8Array>;

const MANIFEST = '.manifest';
const DATA = 'data.json';
const WASM = 'policy.wasm';
const REVISION_CHARACTERS = 16;
// A hundred times what ours has: more is no policy, but an attempt to fill the memory.
const LARGEST_BYTES = 64 * 1024 * 1024;

/**
 * An unsigned bundle in OPA's own format (OPA docs, "Bundle File Format"): a gzipped tar of `.manifest`, `data.json`,
 * the Rego files and `policy.wasm`. The same source gives the same bytes. The manifest names no wasm resolver: an OPA
 * that is built without a wasm runtime, as the static ones are, refuses such a bundle; our processes know the file.
 */
export function packBundle({ wasm, data, rego }: BundleSource): { bytes: Buffer; revision: string } {
  const files = new Map<string, Uint8Array>(Object.entries(rego));
  files.set(WASM, wasm);
  const revision = revisionOf(digestOf(files, data));
  files.set(DATA, json({ ...data, revision }));
  // All roots: nobody else can put a document or a rule beside ours.
  files.set(MANIFEST, json({ revision, roots: [''], rego_version: 1 }));
  return { bytes: archive(files), revision };
}

/** The bundle with a signature over every file of it, in place of any that it had (OPA docs, "Signing"). */
export async function signBundle(bytes: Uint8Array, key: SigningKey): Promise<Buffer> {
  const files = new Map(unpack(bytes));
  files.delete(SIGNATURES_FILE);
  files.set(SIGNATURES_FILE, json({ signatures: [await signFiles(files, key)] }));
  return archive(files);
}

/**
 * Opens a signed bundle. Throws `policy_bundle_refused`, with the reason, where the signature is not by this key over
 * exactly these files, where a file is doubtful, or where the revision is not the digest of the content.
 */
export async function openBundle(bytes: Uint8Array, publicKeyPem: string): Promise<PolicyBundle> {
  const files = unpack(bytes);
  await verifyFiles(files, publicKeyPem);
  return contentOf(files);
}

/** Opens a bundle whose origin does not matter, to look at it. Throws `policy_bundle_refused`. */
export function openUnverifiedBundle(bytes: Uint8Array): PolicyBundle {
  return contentOf(unpack(bytes));
}

function contentOf(files: Files): PolicyBundle {
  const { revision } = document(files, MANIFEST);
  const data = document(files, DATA);
  const wasm = files.get(WASM);
  if (!wasm) throw refused(`has no ${WASM}`);
  const digest = digestOf(files, data);
  if (typeof revision !== 'string' || revision !== data.revision || revision !== revisionOf(digest)) {
    throw refused('has a revision that is not the digest of its content');
  }
  return { revision, digest: digest.toString('base64url'), data, wasm };
}

/** 64 bits name a policy; the signature vouches for it. */
function revisionOf(digest: Buffer): string {
  return digest.toString('hex').slice(0, REVISION_CHARACTERS);
}

/** The digest of rules and data, whoever signs them. */
function digestOf(files: Files, data: JsonObject): Buffer {
  const digests = [...files]
    .filter(([name]) => ![MANIFEST, DATA, SIGNATURES_FILE].includes(name))
    .map(([name, content]): [string, string] => [name, sha256(content)])
    .sort(([left], [right]) => (left < right ? -1 : 1));
  return Buffer.from(sha256(canonicalJson([digests, { ...data, revision: '' }])), 'hex');
}

function document(files: Files, name: string): JsonObject {
  const content = files.get(name);
  if (!content) throw refused(`has no ${name}`);
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(content).toString('utf8'));
  } catch (cause) {
    throw refused(`has a ${name} that is not JSON`, cause);
  }
  return isJsonObject(value) ? value : refusing(`has a ${name} that is no object`);
}

/** Sorted, and without time or owner. OPA writes every name with a slash in front. */
function archive(files: Files): Buffer {
  const entries = [...files]
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([name, data]) => ({ name: `/${name}`, data }));
  const tar = createTar(entries, { attrs: { mtime: 0, uid: 0, gid: 0, mode: '644' } });
  const gzipped = gzipSync(tar, { level: 9 });
  // The operating system that gzip names (RFC 1952 §2.3.1): unknown.
  gzipped[9] = 255;
  return gzipped;
}

function unpack(bytes: Uint8Array): Files {
  let entries: ReturnType<typeof parseTar<never, { metaOnly: false }>>;
  try {
    entries = parseTar<never, { metaOnly: false }>(gunzipSync(bytes, { maxOutputLength: LARGEST_BYTES }));
  } catch (cause) {
    throw refused('is no gzipped tar', cause);
  }
  const files = new Map<string, Uint8Array>();
  for (const { name, type, data } of entries) {
    if (type === 'directory') continue;
    const path = name.replace(/^\.?\//, '');
    // A name that two readers could read in two ways must not get past the signature.
    if (
      type !== 'file' ||
      !/^[A-Za-z0-9._-]+(\/[A-Za-z0-9._-]+)*$/.test(path) ||
      path.split('/').includes('..')
    )
      throw refused(`has a doubtful entry ${JSON.stringify(name)}`);
    if (files.has(path)) throw refused(`has ${path} twice`);
    files.set(path, data ?? new Uint8Array());
  }
  return files;
}

function json(value: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(value)}\n`);
}

function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

function refused(what: string, cause?: unknown): AtbError {
  return new AtbError('policy_bundle_refused', `the policy bundle ${what}`, { cause });
}

function refusing(what: string): never {
  throw refused(what);
}
