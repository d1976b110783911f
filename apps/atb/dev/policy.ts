import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { openUnverifiedBundle, packBundle, signBundle } from '../../../adapters/opa/bundle';
import { readPolicySource } from '../../../adapters/opa/policy-source';
import { projectRoot } from '../../../adapters/process/project-root';
import { readOrCreate, writePrivate } from './state';
import type { StateFiles } from './state';

/** What an OPA calls the key of a bundle that was signed here. */
export const POLICY_KEY_ID = 'policy';

/** A signed bundle, and what it is made from. */
export interface BuiltPolicy {
  readonly revision: string;
  readonly digest: string;
  readonly bytes: Uint8Array;
  /** The folders of the built policy, and of its rules and their tests. */
  readonly built: string;
  readonly source: string;
}

/**
 * The built policy as a bundle, signed with a key that was made on this machine: put where the stack takes its first policy
 * from. Where there is another one, that stays until this one is approved, and this one is answered. `policyDir` stands for
 * policy/dist.
 */
export async function signedPolicy(
  { policy }: StateFiles,
  policyDir: string | undefined,
): Promise<BuiltPolicy | null> {
  await mkdir(dirname(policy.bundle), { recursive: true });
  const pem = await readOrCreate(policy.privateKey, () =>
    generateKeyPairSync('ec', { namedCurve: 'P-256' })
      .privateKey.export({ format: 'pem', type: 'pkcs8' })
      .toString(),
  );
  const privateKey = createPrivateKey(pem);
  await writePrivate(
    policy.publicKey,
    createPublicKey(privateKey).export({ format: 'pem', type: 'spki' }).toString(),
  );
  const source = join(projectRoot(), 'policy');
  const built = policyDir ?? join(source, 'dist');
  const packed = packBundle(await readPolicySource(built, source));
  const bytes = await signBundle(packed.bytes, { privateKey, keyId: POLICY_KEY_ID });
  const { revision, digest } = openUnverifiedBundle(bytes);
  if (existsSync(policy.bundle)) {
    const decides = openUnverifiedBundle(await readFile(policy.bundle)).revision;
    return decides === revision ? null : { revision, digest, bytes, built, source };
  }
  await writePrivate(policy.bundle, bytes);
  return null;
}
