import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { anRfc, ChangePeople } from '../support/change';
import { TestStack } from '../support/stack';

const run = promisify(execFile);
const git = async (...args: string[]) => (await run('git', args)).stdout.trim();

let folder: string;
let repository: string;
let stack: TestStack;
let people: ChangePeople;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atb-commits-'));
  repository = join(folder, 'platform.git');
  const seed = join(folder, 'seed');
  await git('init', '--quiet', '--bare', '--initial-branch=main', repository);
  await git('clone', '--quiet', repository, seed);
  await writeFile(join(seed, 'values.yaml'), 'image:\n  tag: 1.3.9\ncanary:\n  percent: 0\n');
  const as = ['-C', seed, '-c', 'user.name=seed', '-c', 'user.email=seed@corp.example'];
  await git(...as, 'add', '.');
  await git(...as, 'commit', '--quiet', '-m', 'seed');
  await git(...as, 'push', '--quiet', 'origin', 'HEAD:main');
  const operations = join(folder, 'operations.json');
  const [program, environment] = ['/bin/sh', { REPOSITORY: repository, FOLDER: folder }];
  const script =
    'git -C "$REPOSITORY" show main:values.yaml | grep -q "percent: $1" && [ ! -e "$FOLDER/fails-at-$1" ]';
  await writeFile(
    operations,
    JSON.stringify({
      operations: {
        gitops: {
          ...{ kind: 'commit', repository, branch: 'main', file: 'values.yaml', timeout_seconds: 30 },
          set: { '/image/tag': '{version}', '/canary/percent': '{percent}' },
          parameters: { version: '[0-9.]{1,20}' },
          author: { name: 'ATB', email: 'ops@corp.example' },
        },
      },
      // What is there is what this step was to bring.
      checks: {
        delivered: {
          ...{ kind: 'command', program, environment, timeout_seconds: 30 },
          arguments: ['-c', script, 'sh', '{percent}'],
        },
      },
    }),
  );
  stack = await TestStack.start({ ATB_OPERATIONS_FILE: operations });
  people = new ChangePeople(stack);
});

afterAll(async () => {
  await stack.stop();
  await rm(folder, { recursive: true, force: true });
});

/** The id of a change that runs, from 1.3.9 to another version. */
async function begun(name: string, version: string): Promise<string> {
  const by = (tag: string) => ({ operation: 'gitops', parameters: { version: tag } });
  const rfc = anRfc({ apply: by(version), rollback: by('1.3.9'), checks: ['delivered'] });
  const change = people.change(name, rfc, 'emergency_change');
  const id = await people.signedOff(change);
  expect(await people.say(people.grace, id, change, 'run')).toMatchObject({ status: 200 });
  return id;
}

/** What each commit of a change brought, the first before the others. */
async function commitsOf(id: string): Promise<readonly string[]> {
  const own = ['log', '--reverse', '--format=%H', '--grep', `ATB-Change: ${id}`, 'main'];
  const hashes = (await git('-C', repository, ...own)).split('\n').filter((line) => line !== '');
  const values = hashes.map((hash) => git('-C', repository, 'show', `${hash}:values.yaml`));
  return (await Promise.all(values)).map((text) => text.replace(/\s+/g, ' '));
}

describe('a change that Argo CD or Flux picks up (operating model §7)', () => {
  it('is back by a commit of its own where what it brought does not pass', async () => {
    await writeFile(join(folder, 'fails-at-100'), '');
    const id = await begun('half-way', '1.4.0');
    expect(await people.reaches(id, 'rolled_back')).toMatchObject({
      ...{ percent: 0, reasons: ['change_check_failed'] },
    });
    await rm(join(folder, 'fails-at-100'));
    expect(await commitsOf(id)).toEqual([
      'image: tag: 1.4.0 canary: percent: 50',
      'image: tag: 1.4.0 canary: percent: 100',
      'image: tag: 1.3.9 canary: percent: 0',
    ]);
  });

  it('is one commit for each canary step, and each is checked before the next', async () => {
    const id = await begun('all-the-way', '1.5.0');
    expect(await people.reaches(id, 'completed')).toMatchObject({ percent: 100 });
    expect(await commitsOf(id)).toEqual([
      'image: tag: 1.5.0 canary: percent: 50',
      'image: tag: 1.5.0 canary: percent: 100',
    ]);
    const events = await (await stack.ledger()).events({ limit: 5_000 });
    const steps = events.filter(({ type, data }) => data.proposal === id && /applied|checked/.test(type));
    expect(steps.map(({ type, data }) => [type, data.percent])).toEqual([
      ...[50, 100].flatMap((percent) => [
        ['change_step_applied', percent],
        ['change_checked', percent],
      ]),
    ]);
  });
});
