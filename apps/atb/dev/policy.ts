import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { packBundle, signBundle } from '../../../adapters/opa/bundle';
import { readPolicySource } from '../../../adapters/opa/policy-source';
import { projectRoot } from '../../../adapters/process/project-root';
import { readOrCreate, writePrivate } from './state';
import type { StateFiles } from './state';

/** What an OPA calls the key of a bundle that was signed here. */
export const POLICY_KEY_ID = 'policy';

/** The built policy as a bundle, signed with a key that was made on this machine. `built` stands for policy/dist. */
export async function signedPolicy({ policy }: StateFiles, built: string | undefined): Promise<void> {
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
  const folder = join(projectRoot(), 'policy');
  const { bytes } = packBundle(await readPolicySource(built ?? join(folder, 'dist'), folder));
  await writePrivate(policy.bundle, await signBundle(bytes, { privateKey, keyId: POLICY_KEY_ID }));
}
