import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { AtbError } from '../../domain/error';
import { isJsonObject } from '../../domain/json';
import { obtainExecutable } from '../process/executable';

const run = promisify(execFile);
const MOST_OUTPUT_BYTES = 64 * 1024 * 1024;

/** What the rules' own tests say. */
export interface PolicyTests {
  readonly passed: number;
  /** By package and name. */
  readonly failed: readonly string[];
}

/** Runs `opa test` over a policy's rules and its built data. Throws `policy_bundle_refused` where no test could run. */
export async function testPolicy(source: string, built: string): Promise<PolicyTests> {
  const opa = await obtainExecutable('opa');
  const over = [join(source, 'atb'), join(source, 'system'), join(built, 'data.json')];
  const args = ['test', ...over, '--timeout', '120s', '--format', 'json'];
  // An exit code other than 0 says that tests failed; which did, its output says.
  const { stdout } = await run(opa, args, { maxBuffer: MOST_OUTPUT_BYTES }).catch((error: unknown) => {
    const { stdout: said } = error as { stdout?: unknown };
    return { stdout: typeof said === 'string' ? said : '' };
  });
  const tests = testsIn(stdout);
  if (tests.length === 0) throw new AtbError('policy_bundle_refused', 'no test of the policy could be run');
  const failed = tests.filter(
    ({ fail, error, skip }) => fail === true || error !== undefined || skip === true,
  );
  return {
    passed: tests.length - failed.length,
    failed: failed.map(({ package: within, name }) => `${textOf(within)}.${textOf(name)}`),
  };
}

function testsIn(output: string) {
  try {
    const tests: unknown = JSON.parse(output);
    return Array.isArray(tests) ? (tests as readonly unknown[]).filter(isJsonObject) : [];
  } catch {
    return [];
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
