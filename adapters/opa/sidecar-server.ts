import { join } from 'node:path';
import { startServerProcess } from '../process/server-process';
import type { ServerProcess } from '../process/server-process';

export interface SidecarServerOptions {
  /** An `opa`. */
  readonly executable: string;
  /** Where the bundle is: OPA reads a file once, and asks a server for a newer one every few seconds. */
  readonly bundle:
    | { readonly file: string }
    | { readonly server: string; readonly path: string; readonly tokenFile?: string };
  readonly publicKeyFile: string;
  /** What the bundle's signature calls its key. */
  readonly keyId: string;
  readonly token: string;
  readonly port: number;
  /** Its log is written here. */
  readonly folder: string;
  readonly healthyWithinMs?: number;
  /** Resolve as soon as it listens: who gives it its bundle may come later. */
  readonly withoutBundle?: boolean;
}

/** How an OPA is started that takes its policy from a signed bundle alone, and answers to the token's holder alone. */
export function sidecarArguments(
  options: Pick<SidecarServerOptions, 'bundle' | 'publicKeyFile' | 'keyId' | 'port'>,
): string[] {
  const { bundle, publicKeyFile, keyId, port } = options;
  const settings = {
    [`keys.${keyId}.algorithm`]: 'ES256',
    ...('file' in bundle
      ? { 'bundles.atb.resource': `file://${bundle.file}` }
      : {
          'services.atb.url': bundle.server,
          ...(bundle.tokenFile !== undefined && {
            'services.atb.credentials.bearer.token_path': bundle.tokenFile,
          }),
          'bundles.atb.service': 'atb',
          'bundles.atb.resource': bundle.path,
        }),
    'bundles.atb.signing.keyid': keyId,
    'bundles.atb.polling.min_delay_seconds': '1',
    'bundles.atb.polling.max_delay_seconds': '2',
  };
  return [
    ...['run', '--server', `--addr=127.0.0.1:${port}`],
    ...['--authentication=token', '--authorization=basic', '--disable-telemetry', '--log-level=error'],
    ...Object.entries(settings).map(([name, value]) => `--set=${name}=${value}`),
    `--set-file=keys.${keyId}.key=${publicKeyFile}`,
  ];
}

/** Starts an OPA sidecar on loopback, and waits until its bundle is active, unless told otherwise. */
export function startSidecar(options: SidecarServerOptions): Promise<ServerProcess> {
  return startServerProcess({
    title: 'OPA',
    command: options.executable,
    args: sidecarArguments(options),
    env: { ...process.env, ATB_OPA_TOKEN: options.token },
    logFile: join(options.folder, 'opa.log'),
    stopSignal: 'SIGTERM',
    healthyWithinMs: options.healthyWithinMs ?? 20_000,
    async isHealthy() {
      const answer = await fetch(`http://127.0.0.1:${options.port}/health?bundles`);
      await answer.body?.cancel();
      // Without a bundle it refuses whatever it is asked, this too.
      if (!answer.ok && options.withoutBundle !== true) throw new Error(`OPA answered ${answer.status}`);
    },
  });
}
