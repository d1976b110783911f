import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { projectRoot } from '../../adapters/process/project-root';

const run = promisify(execFile);
const VERSION = '1.31.0';

/** Whether this machine can have the server that skips time: it is a Java program, and Maven brings it. */
export const hasJava = ['java', 'mvn'].every(
  (program) => spawnSync(program, ['-version'], { stdio: 'ignore' }).status === 0,
);

/**
 * The start script of Temporal's test server, which skips time: ATB_TEMPORAL_TEST_SERVER, or the cache, or Maven with
 * the versions that tools/temporal-test-server/pom.xml pins.
 */
export async function timeSkippingServer(): Promise<string> {
  const named = process.env.ATB_TEMPORAL_TEST_SERVER;
  if (named !== undefined && named !== '') return named;
  const folder = join(projectRoot(), '.cache', `temporal-test-server-${VERSION}`);
  if (!existsSync(join(folder, 'lib'))) await fetchServer(folder);
  const script = join(folder, `start-${process.pid}`);
  await writeFile(script, START.replace('LIB', join(folder, 'lib')), { mode: 0o755 });
  return script;
}

// Whoever starts it waits for five seconds only: it is up sooner where nothing is optimised that runs for a minute.
const START = `#!/bin/sh
rm -f "$0"
exec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto -cp 'LIB/*' io.temporal.testserver.TestServer "$@"
`;

async function fetchServer(folder: string): Promise<void> {
  const workplace = `${folder}.${process.pid}`;
  await mkdir(workplace, { recursive: true });
  const pom = join(projectRoot(), 'tools', 'temporal-test-server', 'pom.xml');
  const lib = join(workplace, 'lib');
  await run('mvn', ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${lib}`], {
    timeout: 180_000,
  });
  // Another process may have been quicker.
  await rename(workplace, folder).catch(() => rm(workplace, { recursive: true, force: true }));
}
