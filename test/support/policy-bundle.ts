import { createHash, generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { mkdtemp, readFile, rename, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packBundle, signBundle } from '../../adapters/opa/bundle';
import type { BundleSource } from '../../adapters/opa/bundle';
import { readPolicySource } from '../../adapters/opa/policy-source';
import type { JsonObject } from '../../domain/json';

export interface PolicyKey {
  readonly privateKey: KeyObject;
  readonly publicPem: string;
}

export function aPolicyKey(): PolicyKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { privateKey, publicPem: publicKey.export({ format: 'pem', type: 'spki' }).toString() };
}

export const builtPolicy = (): Promise<BundleSource> => readPolicySource('policy/dist', 'policy');

/** The built policy, its data changed at the top level, signed. */
export async function signedBundle(key: PolicyKey, data: JsonObject = {}): Promise<Buffer> {
  const source = await builtPolicy();
  const { bytes } = packBundle({ ...source, data: { ...source.data, ...data } });
  return signBundle(bytes, { privateKey: key.privateKey, keyId: 'policy' });
}

/**
 * A folder as a delivery leaves it, bundle and public key, and a server of the bundle for an OPA; `deliver` puts another
 * bundle in its place, whole.
 */
export async function aDelivery(key: PolicyKey, bytes: Uint8Array) {
  const folder = await mkdtemp(join(tmpdir(), 'atb-policy-'));
  const bundleFile = join(folder, 'bundle.tar.gz');
  const publicKeyFile = join(folder, 'public.pem');
  await writeFile(bundleFile, bytes);
  await writeFile(publicKeyFile, key.publicPem);
  const server = createServer((request, response) => {
    readFile(bundleFile).then(
      (content) => {
        const etag = `"${createHash('sha256').update(content).digest('hex')}"`;
        const known = request.headers['if-none-match'] === etag;
        response.writeHead(known ? 304 : 200, { etag, 'content-type': 'application/gzip' });
        response.end(known ? undefined : content);
      },
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const { port } = server.address() as AddressInfo;
  server.unref();
  return {
    served: { server: `http://127.0.0.1:${port}`, path: 'bundle.tar.gz' },
    close: () =>
      new Promise<void>((closed) => {
        server.close(() => {
          closed();
        });
        server.closeAllConnections();
      }),
    folder,
    bundleFile,
    publicKeyFile,
    async deliver(next: Uint8Array) {
      await writeFile(join(folder, '.next'), next);
      await rename(join(folder, '.next'), bundleFile);
    },
  };
}
