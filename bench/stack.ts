import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { obtainExecutable } from '../adapters/process/executable';
import { projectRoot } from '../adapters/process/project-root';
import { startDevServer } from '../adapters/temporal/dev-server';
import { startPostgresTemporal } from '../adapters/temporal/postgres-server';
import { loadIdentities } from './agent';
import type { Identities } from './agent';
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
  const port = await freePort();
  // Ten in a row are needed; near the top there may be none.
  const portBase = port > 60_000 ? port - 10_000 : port;
  const child = spawn(
    process.execPath,
    [
      join(projectRoot(), 'dist', 'apps', 'atb', 'main.js'),
      ...[
        'dev',
        '--temporal',
        temporalAddress,
        '--state-dir',
        stateDirectory,
        '--port-base',
        String(portBase),
      ],
    ],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: {
        ...process.env,
        ATB_REQUESTS_PER_MINUTE: '10000000',
        ATB_PENDING_PER_AGENT: '100000',
        ATB_PENDING_TOTAL: '100000',
        ATB_POLICY_DIR: await roomyPolicy(join(stateDirectory, 'policy')),
        ATB_LOG_LEVEL: 'error',
      },
    },
  );
  const identities = await ready(child, join(stateDirectory, 'dev.json'));
  return { identities, pid: child.pid ?? 0, stop: () => ended(child) };
}

async function ready(child: ChildProcess, devJson: string): Promise<Identities> {
  for (let tries = 0; tries < 600; tries++) {
    if (child.exitCode !== null)
      throw new Error(`the stack ended with ${child.exitCode} before it was ready`);
    const text = await readFile(devJson, 'utf8').catch(() => undefined);
    if (text !== undefined) return loadIdentities(text);
    await sleep(200);
  }
  await ended(child);
  throw new Error('the stack was not ready within two minutes');
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}
