import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { Connection } from '@temporalio/client';

import { type ServerProcess, startServerProcess } from '../process/server-process';
import { DYNAMIC_CONFIG, NAMESPACE, SEARCH_ATTRIBUTES } from './server-settings';

export interface DevServerOptions {
  /** The `temporal` command line; see obtainExecutable('temporal'). */
  readonly executable: string;
  /** Made when missing. Its folder `temporal` holds the database file and the log, for our eyes only. */
  readonly stateDirectory: string;
  readonly port: number;
  /** The web UI's port; no UI without one. */
  readonly uiPort?: number;
  /** Where the UI has payloads decoded: the codec server's URL as seen from the operator's browser. */
  readonly uiCodecEndpoint?: string;
}

export interface DevServer extends ServerProcess {
  readonly address: string;
  readonly namespace: string;
  readonly uiUrl: string | undefined;
}

/**
 * Temporal's own development server: one process, one database file, loopback only, since it has neither TLS nor an
 * authorizer. Started again on the same state directory, it has everything that it had.
 */
export async function startDevServer(options: DevServerOptions): Promise<DevServer> {
  const folder = join(options.stateDirectory, 'temporal');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const address = `127.0.0.1:${options.port}`;
  const connection = Connection.lazy({ address });
  try {
    const server = await startServerProcess({
      title: 'the Temporal dev server',
      command: options.executable,
      args: devServerArguments(options, folder),
      logFile: join(folder, 'server.log'),
      stopSignal: 'SIGTERM',
      isHealthy: () => hasNamespaceAndSearchAttributes(connection),
      // Two seconds on an idle machine; schema set-up on a cold disk takes longer.
      healthyWithinMs: 60_000,
    });
    return {
      ...server,
      address,
      namespace: NAMESPACE,
      uiUrl: options.uiPort === undefined ? undefined : `http://127.0.0.1:${options.uiPort}`,
    };
  } finally {
    await connection.close();
  }
}

function devServerArguments(options: DevServerOptions, folder: string): string[] {
  return [
    ...['server', 'start-dev', '--ip', '127.0.0.1', '--port', String(options.port)],
    ...['--db-filename', join(folder, 'temporal.db')],
    // 13 ms a step rather than 20. A power cut may lose the last commits; the file stays sound (SQLite, "WAL mode").
    ...['--sqlite-pragma', 'journal_mode=WAL', '--sqlite-pragma', 'synchronous=NORMAL'],
    ...['--namespace', NAMESPACE, '--log-level', 'warn'],
    ...(options.uiPort === undefined ? ['--headless'] : ['--ui-port', String(options.uiPort)]),
    ...(options.uiCodecEndpoint === undefined ? [] : ['--ui-codec-endpoint', options.uiCodecEndpoint]),
    ...Object.entries(SEARCH_ATTRIBUTES).flatMap(([name, type]) => ['--search-attribute', `${name}=${type}`]),
    ...Object.entries(DYNAMIC_CONFIG).flatMap(([key, value]) => [
      '--dynamic-config-value',
      `${key}=${value}`,
    ]),
  ];
}

/** The dev server answers before it has made the namespace and the search attributes. */
async function hasNamespaceAndSearchAttributes(connection: Connection): Promise<void> {
  await connection.withDeadline(Date.now() + 2_000, async () => {
    await connection.workflowService.describeNamespace({ namespace: NAMESPACE });
    const { customAttributes } = await connection.operatorService.listSearchAttributes({
      namespace: NAMESPACE,
    });
    const missing = Object.keys(SEARCH_ATTRIBUTES).filter((name) => !(name in customAttributes));
    if (missing.length > 0) throw new Error(`search attributes not registered yet: ${missing.join(', ')}`);
  });
}
