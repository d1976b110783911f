import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AtbError } from '../../domain/error';

/** Where the sidecar asks for its bundle. */
export const HANDOFF_PATH = 'bundle.tar.gz';

export interface BundleHandoff {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Gives the policy sidecar beside this process its bundle, on loopback, to the token's holder: what the process took is all
 * that the sidecar can load (OPA docs, "Bundle Service API"). Throws `configuration_invalid` where the port is taken.
 */
export async function handBundleOver(options: {
  readonly port: number;
  readonly token: string;
  /** The signed bundle that decides now. */
  readonly bundle: () => Uint8Array;
}): Promise<BundleHandoff> {
  const expected = sha256(`Bearer ${options.token}`);
  const server = createServer((request, response) => {
    const mayHave = timingSafeEqual(sha256(request.headers.authorization ?? ''), expected);
    if (request.method !== 'GET' || request.url !== `/${HANDOFF_PATH}` || !mayHave) {
      response.writeHead(mayHave ? 404 : 401).end();
      return;
    }
    const bytes = options.bundle();
    const etag = `"${sha256(bytes).toString('hex')}"`;
    const known = request.headers['if-none-match'] === etag;
    response.writeHead(known ? 304 : 200, { etag, 'content-type': 'application/gzip' });
    response.end(known ? undefined : bytes);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      reject(new AtbError('configuration_invalid', 'the policy cannot be handed to OPA', { cause }));
    });
    server.listen(options.port, '127.0.0.1', resolve);
  });
  server.unref();
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

function sha256(content: string | Uint8Array): Buffer {
  return createHash('sha256').update(content).digest();
}
