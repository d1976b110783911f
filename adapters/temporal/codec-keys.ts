import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { AtbError } from '../../domain/error';
import { isJsonObject } from '../../domain/json';

const KEY_BYTES = 32;

/**
 * The keys that seal payloads: one seals, all open. Rotation adds a key and makes it the sealing one; an old key
 * stays for as long as histories sealed with it are kept.
 */
export interface CodecKeys {
  readonly sealingKeyId: string;
  readonly keys: ReadonlyMap<string, Uint8Array>;
}

/**
 * Reads `{"seal_with": "<kid>", "keys": [{"kid": "<kid>", "k": "<base64url, 32 bytes>"}]}` (`k` as in RFC 7518 §6.4.1).
 * Throws `configuration_invalid`.
 */
export async function readCodecKeys(file: string): Promise<CodecKeys> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(await readFile(file, 'utf8'));
  } catch (cause) {
    throw new AtbError('configuration_invalid', `the codec keys in ${file} cannot be read`, { cause });
  }
  const keys = new Map<string, Uint8Array>();
  const list = isJsonObject(parsed) && Array.isArray(parsed.keys) ? parsed.keys : [];
  for (const entry of list as readonly unknown[]) {
    if (!isJsonObject(entry) || typeof entry.kid !== 'string' || typeof entry.k !== 'string') {
      throw new AtbError('configuration_invalid', `an entry of keys in ${file} lacks its kid or k`);
    }
    const key = new Uint8Array(Buffer.from(entry.k, 'base64url'));
    if (key.length !== KEY_BYTES || keys.has(entry.kid)) {
      throw new AtbError(
        'configuration_invalid',
        `codec key ${entry.kid} is not ${KEY_BYTES} bytes, or stands twice`,
      );
    }
    keys.set(entry.kid, key);
  }
  const sealingKeyId = isJsonObject(parsed) ? parsed.seal_with : undefined;
  if (typeof sealingKeyId !== 'string' || !keys.has(sealingKeyId)) {
    throw new AtbError('configuration_invalid', `seal_with in ${file} names none of its keys`);
  }
  return { sealingKeyId, keys };
}

/** Writes a new key file with one random key, readable by its owner only; an existing file is left alone. */
export async function createCodecKeys(file: string, now: Date): Promise<void> {
  const kid = `codec-${now.toISOString().slice(0, 10)}-${randomBytes(4).toString('hex')}`;
  const content = { seal_with: kid, keys: [{ kid, k: randomBytes(KEY_BYTES).toString('base64url') }] };
  try {
    await writeFile(file, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}
