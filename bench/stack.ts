import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { obtainExecutable } from '../adapters/process/executable';
import { projectRoot } from '../adapters/process/project-root';
import { startServerProcess } from '../adapters/process/server-process';
import { startDevServer } from '../adapters/temporal/dev-server';
import { startPostgresTemporal } from '../adapters/temporal/postgres-server';
import { freePortBase } from '../apps/atb/dev/ports';
import { loadIdentities } from './agent';
import { freePort } from './free-port';
import { say } from './report';
import type { ServerName } from './report';
import { roomyPolicy } from './roomy-policy';

interface TemporalServer {
  readonly address: string;
  /** Of its process, where it is one. */
  readonly pid?: number;
  stop(): Promise<void>;
}

const READY_WITHIN_MS = 120_000;

/** A Temporal server of its own. */
export async function startTemporal(server: ServerName, directory: string): Promise<TemporalServer> {
  if (server === 'postgres') {
    return startPostgresTemporal({ stateDirectory: join(directory, 'temporal-pg'), onProgress: say });
  }
  const executable = await obtainExecutable('temporal', { onProgress: say });
  return startDevServer({ executable, stateDirectory: join(directory, 'temporal'), port: await freePort() });
}

/** The whole stack as a process of its own, on this Temporal server. */
export async function startStackProcess(temporalAddress: string, stateDirectory: string) {
  const devJson = join(stateDirectory, 'dev.json');
  await mkdir(stateDirectory, { recursive: true });
  const server = await startServerProcess({
    title: 'the stack',
    command: process.execPath,
    args: [
      join(projectRoot(), 'dist', 'apps', 'atb', 'main.js'),
      ...['dev', '--temporal', temporalAddress],
      ...['--state-dir', stateDirectory, '--port-base', String(await freePortBase())],
    ],
    env: {
      ...process.env,
      ATB_REQUESTS_PER_MINUTE: '10000000',
      ATB_PENDING_PER_AGENT: '100000',
      ATB_PENDING_TOTAL: '100000',
      ATB_POLICY_DIR: await roomyPolicy(join(stateDirectory, 'policy')),
      ATB_LOG_LEVEL: 'error',
    },
    logFile: join(stateDirectory, 'stack.log'),
    stopSignal: 'SIGTERM',
    isHealthy: async () => {
      await readFile(devJson);
    },
    healthyWithinMs: READY_WITHIN_MS,
  });
  const identities = loadIdentities(await readFile(devJson, 'utf8'));
  return { identities, pid: server.pid, stop: () => server.stop() };
}
