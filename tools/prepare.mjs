// What must be there before anything of ours can run: packages and compiled sources. Needs only Node and npm.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');

const sources = ['apps', 'workflows', 'activities', 'domain', 'adapters', 'bench'];
const stamp = join(root, 'dist', '.built');

/**
 * Runs a command in the project's root. Resolves to its exit code and what it printed; with `show` it prints for
 * itself instead, on the error stream, so that a caller's own output stays parseable.
 */
export function run(command, args, { env = process.env, show = false } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      env,
      stdio: show ? ['ignore', process.stderr, process.stderr] : ['ignore', 'pipe', 'pipe'],
      // npm is a .cmd file there, which only a shell can start.
      shell: process.platform === 'win32' && command === 'npm',
    });
    let stdout = '';
    let stderr = '';
    child.stdout?.setEncoding('utf8').on('data', (text) => (stdout += text));
    child.stderr?.setEncoding('utf8').on('data', (text) => (stderr += text));
    child.on('error', (error) => resolve({ code: 1, stdout, stderr: `${stderr}${error.message}\n` }));
    child.on('close', (code) => resolve({ code: code ?? 1, stdout, stderr }));
  });
}

/** A program of an npm package of ours, as arguments to node. */
export function program(packageName, path) {
  return join(root, 'node_modules', packageName, path);
}

/** Installs the packages of package-lock.json where they are missing or of another version. */
export async function install(onProgress) {
  if (packagesMatchLock()) return;
  onProgress('installing packages (npm install)');
  // Not `npm ci`: it refuses a lock file that lacks another platform's optional package, as ours does where the
  // registry that made it had none. The versions and sums of the lock file hold all the same.
  const args = ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error'];
  const { code } = await run('npm', args, { show: true });
  if (code !== 0) throw new Error('npm install failed');
}

function packagesMatchLock() {
  const installed = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(installed)) return false;
  const packagesOf = (file) => JSON.parse(readFileSync(file, 'utf8')).packages;
  const present = packagesOf(installed);
  return Object.entries(packagesOf(join(root, 'package-lock.json'))).every(
    ([path, wanted]) =>
      path === '' ||
      // Packages for other platforms are named in the lock, and not installed.
      (wanted.optional && present[path] === undefined) ||
      // An image is installed without development packages, and runs what was compiled elsewhere.
      (wanted.dev && !existsSync(join(root, 'apps'))) ||
      present[path]?.version === wanted.version,
  );
}

/** Compiles the sources into dist/ when one of them is newer. Throws with the compiler's words when it finds faults. */
export async function build(onProgress, { force = false } = {}) {
  if (!existsSync(join(root, 'apps'))) return;
  if (!force && existsSync(stamp) && statSync(stamp).mtimeMs > newestSource()) return;
  onProgress('compiling');
  const startedAt = new Date();
  const { code, stdout } = await run(process.execPath, [
    program('typescript', 'bin/tsc'),
    '-p',
    'tsconfig.build.json',
  ]);
  if (code !== 0) throw new Error(stdout.trim());
  writeFileSync(stamp, startedAt.toISOString());
}

function newestSource() {
  const files = ['package-lock.json', 'tsconfig.json', 'tsconfig.build.json'].map((name) => join(root, name));
  for (const folder of sources.map((name) => join(root, name)).filter((path) => existsSync(path))) {
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      files.push(join(entry.parentPath ?? entry.path, entry.name));
    }
  }
  return Math.max(...files.map((file) => statSync(file).mtimeMs));
}

/** The compiled module that obtains executables: one implementation for `atb dev`, the tests and the benchmark. */
export function executables() {
  return createRequire(import.meta.url)(join(root, 'dist', 'adapters', 'process', 'executable.js'));
}
