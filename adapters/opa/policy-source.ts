import { readdir, readFile } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { AtbError } from '../../domain/error';
import { isJsonObject } from '../../domain/json';
import type { BundleSource } from './bundle';

// Rules and data are beside each other in policy/; tests and schemas are for those who change them.
const REGO_FOLDERS = ['atb', 'system'];

/**
 * What a bundle is made from: `policy.wasm` and `data.json` as `npm run policy:build` left them in a folder, and the
 * Rego files of the policy folder. Throws `configuration_invalid`.
 */
export async function readPolicySource(builtFolder: string, policyFolder: string): Promise<BundleSource> {
  try {
    const data: unknown = JSON.parse(await readFile(join(builtFolder, 'data.json'), 'utf8'));
    if (!isJsonObject(data)) throw new Error('data.json is no object');
    const rego: Record<string, Uint8Array> = {};
    for (const folder of REGO_FOLDERS) {
      for (const name of await readdir(join(policyFolder, folder), { recursive: true })) {
        if (!name.endsWith('.rego') || name.endsWith('_test.rego')) continue;
        rego[`${folder}/${name.replaceAll(sep, '/')}`] = await readFile(join(policyFolder, folder, name));
      }
    }
    return { data, wasm: await readFile(join(builtFolder, 'policy.wasm')), rego };
  } catch (cause) {
    throw new AtbError('configuration_invalid', `there is no built policy in ${builtFolder}`, { cause });
  }
}
