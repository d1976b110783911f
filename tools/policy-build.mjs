#!/usr/bin/env node
// Builds policy/dist from policy/atb and policy/data: `policy.wasm` and `data.json`, with the revision in it.
// Data that breaks its schema, or contradicts itself, is refused with every fault and its place.
// `--check` builds aside and fails when the committed files would change. Needs OPA (see `tools/servers.mjs opa`).
// `--data FOLDER` only reads the data of a policy folder, and says what is wrong with it.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dataFiles, readPolicyData } from './policy/data.mjs';

const ENTRYPOINTS = [
  'atb/poa/decision',
  'atb/directory/principal',
  'atb/directory/deputies',
  'atb/identity/answer',
  'atb/redemption/decision',
  'atb/revocation/decision',
  'atb/sign_off/decision',
  'atb/review/decision',
  'atb/responsibility/digest',
  'atb/responsibility/reached',
  'atb/consultation/decision',
  'atb/incident/decision',
  'atb/change/plan',
  'atb/incident/watch',
];
const REVISION_CHARACTERS = 16;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const aside = process.argv.indexOf('--data');
const policy = aside < 0 ? join(root, 'policy') : process.argv[aside + 1];
const dist = join(policy, 'dist');
const opa = process.env.ATB_OPA || 'opa';

const sources = [
  ...readdirSync(join(root, 'policy', 'atb'), { recursive: true })
    .filter((name) => name.endsWith('.rego') && !name.endsWith('_test.rego'))
    .map((name) => `atb/${name}`)
    .sort(),
  ...dataFiles(policy).map((name) => `data/${name}`),
];

const { data, faults } = readPolicyData(policy);
if (faults.length > 0) {
  for (const { place, detail } of faults) console.error(`policy/${place}: ${detail}`);
  process.exitCode = 1;
} else if (aside < 0) {
  build();
}

function build() {
  const work = mkdtempSync(join(tmpdir(), 'atb-policy-'));
  try {
    const document = { revision: revision(), ...data };
    const built = { 'policy.wasm': wasm(work), 'data.json': `${JSON.stringify(document, null, 1)}\n` };
    if (process.argv.includes('--check')) check(built);
    else write(built);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The rules alone: data is handed in when they run, so that a change of data changes no wasm. */
function wasm(work) {
  cpSync(join(policy, 'atb'), join(work, 'atb'), {
    recursive: true,
    filter: (path) => !path.endsWith('_test.rego'),
  });
  const entrypoints = ENTRYPOINTS.flatMap((entrypoint) => ['-e', entrypoint]);
  // Relative paths, from the work folder: where this project lies must not show in what is built.
  execFileSync(opa, ['build', '-t', 'wasm', ...entrypoints, '-o', 'bundle.tar.gz', 'atb'], {
    cwd: work,
    stdio: 'inherit',
  });
  execFileSync('tar', ['-xzf', 'bundle.tar.gz', '/policy.wasm'], { cwd: work });
  return readFileSync(join(work, 'policy.wasm'));
}

function revision() {
  const hash = createHash('sha256');
  for (const source of sources)
    hash
      .update(source)
      .update('\0')
      .update(readFileSync(join(policy, source)))
      .update('\0');
  return hash.digest('hex').slice(0, REVISION_CHARACTERS);
}

function write(built) {
  mkdirSync(dist, { recursive: true });
  for (const [name, content] of Object.entries(built)) writeFileSync(join(dist, name), content);
  console.log(`policy ${revision()}: policy/dist is built`);
}

function check(built) {
  const stale = Object.entries(built).filter(([name, content]) => {
    try {
      return !readFileSync(join(dist, name)).equals(Buffer.from(content));
    } catch {
      return true;
    }
  });
  if (stale.length > 0) {
    console.error(
      `policy/dist is stale (${stale.map(([name]) => name).join(', ')}): npm run policy:build, and commit it`,
    );
    process.exitCode = 1;
  } else {
    console.log(`policy ${revision()}: policy/dist is what building gives`);
  }
}
