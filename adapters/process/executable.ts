import { execFile, spawn } from 'node:child_process';
import { access, constants, mkdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

import { AtbError } from '../../domain/error';
import { projectRoot } from './project-root';

const run = promisify(execFile);

export type ExecutableName =
  | 'temporal'
  | 'opa'
  | 'regal'
  | 'temporal-server'
  | 'temporal-sql-tool'
  | 'spire-server'
  | 'spire-agent'
  | 'versitygw'
  | 'otelcol';

/** Told of each step, and now and then of the time a long one has taken: a line for people, without a newline. */
export type Progress = (line: string) => void;

export interface ObtainOptions {
  readonly onProgress?: Progress;
  /** Where obtained executables are kept; default: the first writable of PROJECT/.cache/bin and the user's cache. */
  readonly cacheDirectory?: string;
}

interface GoTool {
  readonly from: 'go';
  /** The folder under tools/ whose go.mod and go.sum pin the version. */
  readonly module: string;
  readonly importPath: string;
}

interface SdkDownload {
  readonly from: 'temporal-sdk';
}

interface Executable {
  /** The environment variable that names it, and is then the only place that is looked at. */
  readonly variable: string;
  readonly version: string;
  readonly versionArguments: readonly string[];
  /** Whether one from PATH must be the pinned version: where its output is compared, or a database schema hangs on it. */
  readonly pinned: boolean;
  /** Tried in this order, each kept in the cache under a name with its version. */
  readonly sources: readonly (SdkDownload | GoTool)[];
}

const EXECUTABLES: Readonly<Record<ExecutableName, Executable>> = {
  temporal: {
    variable: 'ATB_TEMPORAL_CLI',
    version: '1.5.1',
    versionArguments: ['--version'],
    pinned: false,
    sources: [
      { from: 'temporal-sdk' },
      { from: 'go', module: 'temporal', importPath: 'github.com/temporalio/cli/cmd/temporal' },
    ],
  },
  opa: {
    variable: 'ATB_OPA',
    version: '1.22.2',
    versionArguments: ['version'],
    pinned: true,
    sources: [{ from: 'go', module: 'opa', importPath: 'github.com/open-policy-agent/opa' }],
  },
  regal: {
    variable: 'ATB_REGAL',
    version: '0.37.0',
    versionArguments: ['version'],
    // It does not know its own version unless it is a release's.
    pinned: false,
    sources: [{ from: 'go', module: 'regal', importPath: 'github.com/open-policy-agent/regal' }],
  },
  'temporal-server': {
    variable: 'ATB_TEMPORAL_SERVER',
    version: '1.29.1',
    versionArguments: ['--version'],
    pinned: true,
    sources: [{ from: 'go', module: 'temporal', importPath: 'go.temporal.io/server/cmd/server' }],
  },
  'temporal-sql-tool': {
    variable: 'ATB_TEMPORAL_SQL_TOOL',
    version: '1.29.1',
    versionArguments: ['--version'],
    pinned: true,
    sources: [{ from: 'go', module: 'temporal', importPath: 'go.temporal.io/server/cmd/tools/sql' }],
  },
  'spire-server': {
    variable: 'ATB_SPIRE_SERVER',
    version: '1.13.0',
    versionArguments: ['--version'],
    pinned: false,
    sources: [{ from: 'go', module: 'spire', importPath: 'github.com/spiffe/spire/cmd/spire-server' }],
  },
  'spire-agent': {
    variable: 'ATB_SPIRE_AGENT',
    version: '1.13.0',
    versionArguments: ['--version'],
    pinned: false,
    sources: [{ from: 'go', module: 'spire', importPath: 'github.com/spiffe/spire/cmd/spire-agent' }],
  },
  versitygw: {
    variable: 'ATB_VERSITYGW',
    version: '1.8.0',
    versionArguments: ['--version'],
    // It does not know its own version unless it is a release's.
    pinned: false,
    sources: [{ from: 'go', module: 'versitygw', importPath: 'github.com/versity/versitygw/cmd/versitygw' }],
  },
  otelcol: {
    variable: 'ATB_OTELCOL',
    version: '0.161.0',
    versionArguments: ['--version'],
    // Another one may lack a part that deploy/otel names.
    pinned: true,
    sources: [{ from: 'go', module: 'otelcol', importPath: 'agent-trust-broker/tools/otelcol' }],
  },
};

/** @public used by tools/servers.mjs, which loads the compiled file. */
export const EXECUTABLE_NAMES = Object.keys(EXECUTABLES) as ExecutableName[];

/**
 * The environment variable that names this executable.
 * @public used by tools/test.mjs, which loads the compiled file.
 */
export function variableOf(name: ExecutableName): string {
  return EXECUTABLES[name].variable;
}

/**
 * The absolute path of an executable that answers. Looked for in its environment variable, on PATH, in the cache
 * of earlier runs; then got by the Temporal SDK's own download, or built from the Go module proxy with `go`.
 * Throws `configuration_invalid`, saying what was tried and what to do, when there is none to be had.
 */
export async function obtainExecutable(name: ExecutableName, options: ObtainOptions = {}): Promise<string> {
  const executable = EXECUTABLES[name];
  const onProgress = options.onProgress ?? (() => undefined);

  const named = process.env[executable.variable];
  if (named !== undefined && named !== '') {
    if ((await versionOf(named, executable)) !== undefined) return named;
    throw new AtbError(
      'configuration_invalid',
      `${executable.variable} is ${named}, which does not answer \`${executable.versionArguments.join(' ')}\``,
    );
  }

  const installed = await onPath(name, executable);
  if (installed !== undefined) return installed;

  const cache = options.cacheDirectory ?? (await writableCache());
  for (const source of executable.sources) {
    const cached = join(cache, cachedAs(name, source));
    if ((await versionOf(cached, executable)) !== undefined) return cached;
  }

  const failures: string[] = [];
  for (const source of executable.sources) {
    const destination = join(cache, cachedAs(name, source));
    const title =
      source.from === 'go' ? `building ${name} ${executable.version} with go` : `downloading ${name}`;
    onProgress(title);
    try {
      await fetchInto(destination, source, (line) => {
        onProgress(`${title}: ${line}`);
      });
      if ((await versionOf(destination, executable)) !== undefined) return destination;
      failures.push(`${title}: the result does not run`);
    } catch (error) {
      failures.push(`${title}: ${error instanceof Error ? error.message : String(error)}`);
    }
    onProgress(failures.at(-1) ?? title);
  }
  throw new AtbError(
    'configuration_invalid',
    `there is no ${name} to be had (${failures.join('; ')}): put one on PATH, name it in ${executable.variable}, or install Go, which builds it`,
  );
}

/** What the executable says about its version; undefined where there is none, or it does not run. */
async function versionOf(path: string, executable: Executable): Promise<string | undefined> {
  try {
    // The first start of a large binary reads all of it from disk.
    const { stdout, stderr } = await run(path, executable.versionArguments, { timeout: 20_000 });
    return stdout + stderr;
  } catch {
    return undefined;
  }
}

async function onPath(name: string, executable: Executable): Promise<string | undefined> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter).filter((entry) => entry !== '')) {
    const path = join(folder, fileName(name));
    if (!(await isExecutable(path))) continue;
    const version = await versionOf(path, executable);
    if (version !== undefined && (!executable.pinned || version.includes(executable.version))) return path;
  }
  return undefined;
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

function fileName(name: string): string {
  return process.platform === 'win32' ? `${name}.exe` : name;
}

function cachedAs(name: ExecutableName, source: SdkDownload | GoTool): string {
  return fileName(source.from === 'go' ? `${name}-${EXECUTABLES[name].version}` : `${name}-sdk`);
}

/** The project's own .cache, or the user's where the project is installed read-only (XDG base directories). */
async function writableCache(): Promise<string> {
  const userCache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const candidates = [join(projectRoot(), '.cache', 'bin'), join(userCache, 'atb', 'bin')];
  for (const folder of candidates) {
    try {
      await mkdir(folder, { recursive: true });
      await access(folder, constants.W_OK);
      return folder;
    } catch {
      continue;
    }
  }
  throw new AtbError('configuration_invalid', `none of ${candidates.join(', ')} can be written`);
}

/** Appears under its final name only when complete: another process may be looking, or doing the same. */
async function fetchInto(
  destination: string,
  source: SdkDownload | GoTool,
  onProgress: Progress,
): Promise<void> {
  const workplace = `${destination}.${process.pid}`;
  await mkdir(workplace, { recursive: true });
  try {
    const result =
      source.from === 'go'
        ? await goBuild(source, workplace, onProgress)
        : await sdkDownload(workplace, onProgress);
    await rename(result, destination);
  } finally {
    await rm(workplace, { recursive: true, force: true });
  }
}

async function goBuild(tool: GoTool, folder: string, onProgress: Progress): Promise<string> {
  const result = join(folder, fileName('built'));
  await runLong(
    'go',
    [
      'build',
      '-mod=readonly',
      '-trimpath',
      '-buildvcs=false',
      '-ldflags=-s -w',
      '-o',
      result,
      tool.importPath,
    ],
    {
      cwd: join(projectRoot(), 'tools', tool.module),
      env: { ...process.env, CGO_ENABLED: '0', GOWORK: 'off' },
      // About two minutes on two cores with the modules at hand.
      timeoutMs: 20 * 60_000,
      onProgress,
    },
  );
  return result;
}

/**
 * The Temporal SDK downloads the official CLI by itself when it is asked for a local server; that leaves the file
 * behind. In a process of its own: the SDK's runtime is one for each process and is the caller's to configure.
 */
async function sdkDownload(folder: string, onProgress: Progress): Promise<string> {
  const script = `
    const { TestWorkflowEnvironment } = require(process.argv[1]);
    const { rename, readdir } = require('node:fs/promises');
    const [folder, result] = process.argv.slice(2);
    TestWorkflowEnvironment.createLocal({
      server: { executable: { type: 'cached-download', downloadDir: folder } },
    })
      .then((environment) => environment.teardown())
      .then(() => readdir(folder))
      .then((files) => rename(require('node:path').join(folder, files[0]), result))
      .then(() => process.exit(0), (error) => { console.error(String(error.message)); process.exit(1); });
  `;
  const result = join(folder, 'downloaded');
  await runLong(process.execPath, ['-e', script, require.resolve('@temporalio/testing'), folder, result], {
    cwd: folder,
    env: process.env,
    // A hundred megabytes over a slow line. An unreachable host fails at once, or is cut off here.
    timeoutMs: 3 * 60_000,
    onProgress,
  });
  return result;
}

interface LongRun {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  readonly timeoutMs: number;
  readonly onProgress: Progress;
}

function runLong(command: string, args: readonly string[], options: LongRun): Promise<void> {
  return new Promise((resolve, reject) => {
    const startedAt = Date.now();
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: options.env,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let complaint = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(-2_000);
    });
    const ticking = setInterval(() => {
      options.onProgress(`${Math.round((Date.now() - startedAt) / 1_000)} s`);
    }, 15_000);
    // Not spawn's own `timeout`, whose timer stays on when there is nothing to spawn.
    const tooLong = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs);
    const settle = (failure?: Error) => {
      clearInterval(ticking);
      clearTimeout(tooLong);
      if (failure === undefined) resolve();
      else reject(failure);
    };
    child.once('error', settle);
    child.once('close', (code, signal) => {
      if (code === 0) settle();
      else
        settle(
          new Error(complaint.trim().split('\n').at(-1) || `${command} ended with ${code ?? signal ?? ''}`),
        );
    });
  });
}
