// npm test [-- SUITE...]: runs the suites, a summary line for each, and `N passed, N failed` over all of them at last.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { obtainAlerting, obtainPromtool } from './prometheus.mjs';
import { build, executables, install, program, root, run } from './prepare.mjs';

const report = (line) => process.stderr.write(`${line}\n`);
const node = process.execPath;

/** A check that passes or fails as a whole. */
const check = (packageName, path, args) => async (env) =>
  outcomeOf(await run(node, [program(packageName, path), ...args], { env }));

const SUITES = {
  format: {
    run: check('prettier', 'bin/prettier.cjs', [
      '--check',
      '--cache',
      '--cache-location',
      '.cache/prettier',
      '.',
    ]),
  },
  lint: {
    run: check('eslint', 'bin/eslint.js', [
      '--cache',
      '--cache-location',
      '.cache/eslint/',
      '--max-warnings',
      '0',
      '.',
    ]),
  },
  types: { run: check('typescript', 'bin/tsc', ['-p', 'tsconfig.json', '--noEmit']) },
  imports: {
    run: (env) =>
      check('dependency-cruiser', 'bin/dependency-cruise.mjs', [
        '--config',
        '.dependency-cruiser.cjs',
        ...['apps', 'workflows', 'activities', 'domain', 'adapters', 'bench', 'test'].filter((folder) =>
          existsSync(join(root, folder)),
        ),
      ])(env),
  },
  knip: { run: check('knip', 'bin/knip.js', ['--no-progress']) },
  policy: {
    needs: ['opa'],
    run: async (env) => {
      const outcomes = [];
      for (const tool of ['tools/policy-build.mjs', 'tools/actions-doc.mjs'])
        outcomes.push(outcomeOf(await run(node, [tool, '--check'], { env })));
      return {
        passed: outcomes.reduce((sum, { passed }) => sum + passed, 0),
        failed: outcomes.reduce((sum, { failed }) => sum + failed, 0),
        output: outcomes.map(({ output = '' }) => output).join(''),
      };
    },
  },
  opa: { needs: ['opa'], run: opaTest },
  regal: {
    needs: ['regal'],
    run: async (env) => outcomeOf(await run(env.ATB_REGAL, ['lint', 'policy'], { env })),
  },
  alerts: { run: promtoolTest },
  unit: { run: jest('unit') },
  workflow: { needs: ['temporal'], run: jest('workflow') },
  replay: { run: jest('replay') },
  integration: { needs: ['temporal', 'opa', 'versitygw', 'otelcol'], run: jest('integration') },
  e2e: { needs: ['temporal', 'opa', 'spire-server', 'spire-agent', 'versitygw'], run: e2eTest },
};

function outcomeOf({ code, stdout, stderr }) {
  return code === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1, output: stdout + stderr };
}

// One process keeps some eighty megabytes of each whole-stack file that it ran: dozens come near the heap it may have.
const PROCESSES = { integration: 2, e2e: 4 };

/** Every test counts; a file that cannot be loaded, and a suite without any test, count as one failure each. */
function jest(name) {
  return async (env) => {
    const processes = PROCESSES[name] ?? 1;
    const outcomes = [];
    for (let number = 1; number <= processes; number++)
      outcomes.push(await jestProcess(name, `${number}/${processes}`, env));
    const sum = (kind) => outcomes.reduce((total, outcome) => total + outcome[kind], 0);
    return {
      passed: sum('passed'),
      failed: sum('failed'),
      output: outcomes.map(({ output = '' }) => output).join(''),
    };
  };
}

/** A share of a suite's files, as jest divides them. */
async function jestProcess(name, shard, env) {
  const results = join(root, '.cache', 'jest', `${name}.json`);
  mkdirSync(join(root, '.cache', 'jest'), { recursive: true });
  rmSync(results, { force: true });
  const { code } = await run(
    node,
    [
      ...[program('jest', 'bin/jest.js'), '--selectProjects', name, '--json', '--outputFile', results],
      // Servers of their own beside two workers are more than two cores carry.
      ...['--maxWorkers', name === 'unit' ? '2' : '1', '--shard', shard],
    ],
    { env, show: true },
  );
  if (!existsSync(results)) return { passed: 0, failed: 1, output: `jest wrote no results for ${name}\n` };
  const { numPassedTests, numFailedTests, numRuntimeErrorTestSuites } = JSON.parse(
    readFileSync(results, 'utf8'),
  );
  const passed = numPassedTests;
  const failed = numFailedTests + numRuntimeErrorTestSuites;
  if (passed + failed === 0) return { passed, failed: 1, output: `${name}: no test ran\n` };
  if (code !== 0 && failed === 0) return { passed, failed: 1, output: `${name}: jest ended with ${code}\n` };
  return { passed, failed };
}

/** With a real Prometheus and Alertmanager beside the stack. */
async function e2eTest(env) {
  await obtainAlerting(report);
  return jest('e2e')(env);
}

/** The rules' own tests, over the data as the build reads it. */
async function opaTest(env) {
  // Only now: what it imports may have been installed by this very run.
  const { readPolicyData } = await import('./policy/data.mjs');
  const { data, faults } = readPolicyData(join(root, 'policy'));
  if (data === undefined) {
    const output = faults.map(({ place, detail }) => `policy/${place}: ${detail}\n`).join('');
    return { passed: 0, failed: 1, output };
  }
  const dataFile = join(root, '.cache', 'policy-data.json');
  mkdirSync(join(root, '.cache'), { recursive: true });
  writeFileSync(dataFile, JSON.stringify(data));
  // A busy machine must not fail a test that tries every pair.
  const over = ['test', 'policy/atb', 'policy/system', dataFile, '--timeout', '120s', '--format', 'json'];
  const { code, stdout, stderr } = await run(env.ATB_OPA, over, { env });
  let tests = [];
  try {
    tests = JSON.parse(stdout);
  } catch {
    // Not JSON: the policy did not compile, and the exit code and the error stream say so.
  }
  if (!Array.isArray(tests) || tests.length === 0)
    return { passed: 0, failed: 1, output: stdout + stderr || 'no test ran\n' };
  const failures = tests.filter((test) => test.fail || test.error);
  if (failures.length > 0 || code !== 0) {
    const output = failures.map((test) => `${test.package}.${test.name}\n`).join('');
    return { passed: tests.length - failures.length, failed: failures.length || 1, output: output || stderr };
  }
  const uncovered = rulesWithoutTest(await run(env.ATB_OPA, [...over, '--coverage'], { env }));
  return { passed: tests.length, failed: uncovered.length, output: uncovered.join('') };
}

/** Prometheus' rules, and what dashboards and runbooks ask: their form; then each alert made to fire and kept quiet. */
async function promtoolTest(env) {
  const { promtool, fault } = await obtainPromtool(report);
  if (fault) return { passed: 0, failed: 1, output: `${fault}\n` };
  const below = (folder, end) =>
    readdirSync(join(root, 'deploy/prometheus', folder))
      .filter((name) => name.endsWith(end))
      .map((name) => join('deploy/prometheus', folder, name));
  const checked = outcomeOf(
    await run(promtool, ['check', 'config', 'deploy/prometheus/prometheus.yml'], { env }),
  );
  const asked = questions();
  const parsed = outcomeOf(await run(promtool, ['check', 'rules', asked.file], { env }));
  if (asked.count === 0) return { passed: 0, failed: 1, output: 'no dashboard asks anything\n' };
  const tests = below('tests', '.test.yml');
  const { code, stdout, stderr } = await run(promtool, ['test', 'rules', ...tests], { env });
  const cases = tests
    .map((file) => readFileSync(join(root, file), 'utf8').match(/^ {2}- name: /gm)?.length ?? 0)
    .reduce((sum, count) => sum + count, 0);
  const failures = stdout.match(/^ +expr: /gm)?.length ?? 0;
  const failed = code === 0 && cases > 0 ? 0 : Math.max(failures, 1);
  return {
    passed: checked.passed + parsed.passed + Math.max(cases - failed, 0),
    failed: checked.failed + parsed.failed + failed,
    output: `${checked.output ?? ''}${parsed.output ?? ''}${failed > 0 ? stdout + stderr : ''}`,
  };
}

/** Every expression of a dashboard or a runbook, as a file of rules for Prometheus' own parser (JSON is YAML). */
function questions() {
  const expressions = ['deploy/grafana', 'docs/runbooks'].flatMap((folder) =>
    readdirSync(join(root, folder)).flatMap((name) => {
      const text = readFileSync(join(root, folder, name), 'utf8');
      const here = name.endsWith('.json')
        ? JSON.parse(text).panels.flatMap(({ targets }) => targets.map(({ expr }) => expr))
        : [...text.matchAll(/`([^`]*\batb_[^`]*)`/g)].map(([, expr]) => expr);
      return here.map((expr, at) => ({ record: `${name.replaceAll(/\W/g, '_')}:${at}`, expr }));
    }),
  );
  mkdirSync(join(root, '.cache'), { recursive: true });
  const file = join(root, '.cache', 'asked.rules.yml');
  writeFileSync(file, JSON.stringify({ groups: [{ name: 'asked', rules: expressions }] }));
  return { file, count: expressions.length };
}

/** Operating model §2.3: every line of every rule is taken by some test. */
function rulesWithoutTest({ stdout, stderr }) {
  let files;
  try {
    ({ files } = JSON.parse(stdout));
  } catch {
    return [`opa measured no coverage: ${stderr}\n`];
  }
  return Object.entries(files)
    .filter(([file]) => !file.endsWith('_test.rego'))
    .flatMap(([file, { not_covered: ranges = [] }]) =>
      ranges.map(({ start }) => `${file}:${start.row}: no test takes this line\n`),
    );
}

async function main() {
  const names = process.argv.slice(2);
  const unknown = names.filter((name) => !(name in SUITES));
  if (unknown.length > 0) {
    report(`no suite is called ${unknown.join(', ')}; there are ${Object.keys(SUITES).join(', ')}`);
    return 64;
  }
  const chosen = Object.entries(SUITES).filter(([name]) => names.length === 0 || names.includes(name));
  const total = { passed: 0, failed: 0 };
  const summaries = [];
  const summarise = (name, { passed, failed, output = '' }, seconds) => {
    total.passed += passed;
    total.failed += failed;
    if (failed > 0 && output !== '') process.stderr.write(output);
    const line = `${failed === 0 ? 'ok  ' : 'FAIL'} ${name.padEnd(12)} ${passed} passed, ${failed} failed, ${seconds.toFixed(1)} s`;
    report(line);
    summaries.push(line);
  };

  const env = { ...process.env };
  const needed = new Set(chosen.flatMap(([, suite]) => suite.needs ?? []));
  await install(report);
  if (needed.size > 0) {
    // What does not compile is told, and counted, here; the suites that can still run do.
    await build(report).catch((error) =>
      summarise('build', { passed: 0, failed: 1, output: `${error.message}\n` }, 0),
    );
    const { obtainExecutable, variableOf } = executables();
    for (const name of needed) env[variableOf(name)] = await obtainExecutable(name, { onProgress: report });
  }

  for (const [name, suite] of chosen) {
    report(`---- ${name}`);
    const startedAt = Date.now();
    const outcome = await suite.run(env);
    summarise(name, outcome, (Date.now() - startedAt) / 1_000);
  }
  process.stdout.write(`\n${summaries.join('\n')}\n${total.passed} passed, ${total.failed} failed\n`);
  return total.failed === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  report(error.message);
  process.stdout.write('0 passed, 1 failed\n');
  process.exitCode = 1;
}
