import { existsSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';
import type { Surroundings } from '../../apps/atb/output';
import { createProgram } from '../../apps/atb/program';

interface Step {
  readonly name?: string;
  readonly uses?: string;
  readonly run?: string;
  readonly if?: string;
}

interface Workflow {
  readonly on: { readonly pull_request: { readonly paths: readonly string[] } };
  readonly permissions: Readonly<Record<string, string>>;
  readonly jobs: { readonly policy: { readonly steps: readonly Step[] } };
}

const workflow = parse(readFileSync('.github/workflows/policy.yml', 'utf8')) as Workflow;
const { steps } = workflow.jobs.policy;
const commands = steps.flatMap(({ run }) => run?.split('\n') ?? []).join('\n');

/** Operating model §2.3. It runs elsewhere; here is what can be held to without. */
describe('the pull-request workflow for policy', () => {
  it('runs for every change of policy, and may read only', () => {
    expect(workflow.on.pull_request.paths).toEqual(expect.arrayContaining(['policy/**', 'adapters/opa/**']));
    expect(workflow.permissions).toEqual({ contents: 'read' });
  });

  it('runs the Rego tests, Regal, both engines, the comparison and the replay', () => {
    for (const wanted of [
      'npm test -- policy',
      'npm test -- opa regal',
      'policy diff',
      'policy replay',
      'integration',
    ]) {
      expect(commands).toContain(wanted);
    }
  });

  it('calls suites that exist', () => {
    const suites = [...commands.matchAll(/npm test -- (.*)/g)].flatMap(([, names]) => names!.split(' '));
    const table = readFileSync('tools/test.mjs', 'utf8');
    expect(suites.length).toBeGreaterThan(3);
    for (const suite of suites) expect(table).toMatch(new RegExp(`^  ${suite}: \\{`, 'm'));
  });

  it('calls commands and options that exist', () => {
    const program = createProgram({ environment: {} } as Surroundings);
    const calls = [...commands.matchAll(/node bin\/atb (\S+) (\S+) ([^\n>]*)/g)];
    expect(calls).toHaveLength(2);
    for (const [, group, name, rest] of calls) {
      const command = program.commands
        .find((one) => one.name() === group)
        ?.commands.find((one) => one.name() === name);
      const options = command?.options.map(({ long }) => long);
      for (const [option] of rest!.matchAll(/--[a-z-]+/g)) expect(options).toContain(option);
    }
  });
});

describe('CODEOWNERS', () => {
  const owners = new Map(
    readFileSync('.github/CODEOWNERS', 'utf8')
      .split('\n')
      .filter((line) => line.trim() !== '' && !line.startsWith('#'))
      .map((line): [string, string[]] => {
        const [path, ...names] = line.trim().split(/\s+/);
        return [path!, names];
      }),
  );

  it.each([
    '/policy/',
    '/tools/policy-build.mjs',
    '/adapters/opa/',
    '/apps/policy-gate.ts',
    '/apps/policy-candidate.ts',
    '/activities/policy-approval.ts',
    '/apps/agentauth/policy-gate.ts',
    '/deploy/gitops/',
    '/.github/',
  ])('demands the Security team for %s', (path) => {
    expect(owners.get(path)).toEqual(['@corp/security']);
  });

  it('names paths that exist', () => {
    for (const path of owners.keys()) expect(existsSync(`.${path}`)).toBe(true);
  });
});
