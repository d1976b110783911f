import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { readOperations } from '../../adapters/operations/definitions';
import { ConfiguredOperations } from '../../adapters/operations/operations';
import type { JsonObject } from '../../domain/json';
import { freePort } from '../support/database';
import { eventually } from '../support/eventually';

const run = promisify(execFile);
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atb-operations-'));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

async function operations(document: JsonObject): Promise<ConfiguredOperations> {
  const file = join(folder, 'operations.json');
  await writeFile(file, JSON.stringify({ operations: {}, checks: {}, ...document }));
  return new ConfiguredOperations(await readOperations(file));
}

const context = (percent = 10) => ({
  ...{ change: 'change.x', percent, fence: 7, signal: new AbortController().signal },
});
const sh = (script: string, more: JsonObject = {}): JsonObject => ({
  ...{ kind: 'command', program: '/bin/sh', arguments: ['-c', script, 'sh', '{text}'], timeout_seconds: 20 },
  ...{ parameters: { text: '.*' }, repeatable: true, ...more },
});
const action = (operation: string, parameters: Record<string, string> = { text: '' }) => ({
  operation,
  parameters,
});

describe('a command', () => {
  it('gets its parameters as they are, and nothing of our environment', async () => {
    process.env.ATB_SECRET_OF_OURS = 'secret';
    const all = await operations({
      operations: { say: sh('echo "$1|$ATB_CHANGE|$ATB_PERCENT|$ATB_FENCE|$ATB_SECRET_OF_OURS"') },
    });
    const said = await all.run(action('say', { text: '$(id); `id` "; rm -rf / #' }), context());
    expect(said).toMatchObject({
      good: true,
      detail: 'exit code 0: $(id); `id` "; rm -rf / #|change.x|10|7|',
    });
    delete process.env.ATB_SECRET_OF_OURS;
  });

  it('fails by its exit code, where it is no program, and where it takes too long, with all its children', async () => {
    const marks = join(folder, 'marks');
    const marked = () => readFile(marks, 'utf8').then(({ length }) => length);
    const all = await operations({
      operations: {
        fails: sh('echo no >&2; exit 3'),
        missing: { ...sh(''), program: '/nowhere/at/all' },
        hangs: sh(`(while :; do echo >> ${marks}; sleep 0.05; done) & sleep 60`, { timeout_seconds: 3 }),
      },
    });
    expect(await all.run(action('fails'), context())).toMatchObject({
      good: false,
      detail: 'exit code 3: no',
    });
    expect(await all.run(action('missing'), context())).toMatchObject({ good: false });
    expect(await all.run(action('hangs'), context())).toMatchObject({
      good: false,
      detail: 'killed after 3 seconds',
    });
    let before = -1;
    await eventually(
      async () => {
        const same = before === (before = await marked());
        return same;
      },
      Boolean,
      1_000,
    );
    expect(before).toBeGreaterThan(0);
  });

  it('that is cut short by us has no outcome', async () => {
    const all = await operations({ operations: { hangs: sh('sleep 60') } });
    const stop = new AbortController();
    setTimeout(() => {
      stop.abort();
    }, 300);
    await expect(all.run(action('hangs'), { ...context(), signal: stop.signal })).rejects.toMatchObject({
      code: 'operation_interrupted',
    });
  });
});

describe('a commit that Argo CD or Flux picks up', () => {
  const git = (...args: string[]) => run('git', args).then(({ stdout }) => stdout.trim());
  let repository: string;
  let all: ConfiguredOperations;

  beforeAll(async () => {
    repository = join(folder, 'platform.git');
    const seed = join(folder, 'seed');
    await git('init', '--quiet', '--bare', '--initial-branch=main', repository);
    await git('clone', '--quiet', repository, seed);
    await mkdir(join(seed, 'apps'));
    await writeFile(
      join(seed, 'apps/values.yaml'),
      '# what runs\nimage:\n  tag: 1.3.9 # the version\ncanary:\n  percent: 0\n',
    );
    await symlink('/etc/hostname', join(seed, 'apps/link.yaml'));
    const as = ['-C', seed, '-c', 'user.name=seed', '-c', 'user.email=seed@corp.example'];
    await git(...as, 'add', '.');
    await git(...as, 'commit', '--quiet', '-m', 'seed');
    await git(...as, 'push', '--quiet', 'origin', 'HEAD:main');
    const commit = {
      ...{ kind: 'commit', repository, branch: 'main', file: 'apps/values.yaml' },
      set: { '/image/tag': '{version}', '/canary/percent': '{percent}' },
      ...{ parameters: { version: '[0-9.]+' }, timeout_seconds: 30 },
      author: { name: 'ATB', email: 'ops@corp.example' },
    };
    all = await operations({ operations: { gitops: commit, linked: { ...commit, file: 'apps/link.yaml' } } });
  });

  const values = () => git('-C', repository, 'show', 'main:apps/values.yaml');
  const count = () => git('-C', repository, 'rev-list', '--count', 'main');

  it('sets the values, keeps what is around them, and says which change it was', async () => {
    const done = await all.run(action('gitops', { version: '1.4.0' }), context(10));
    expect(done).toMatchObject({ good: true, detail: expect.stringMatching(/^pushed [0-9a-f]{40}$/) });
    expect(await values()).toBe('# what runs\nimage:\n  tag: 1.4.0 # the version\ncanary:\n  percent: 10');
    expect(
      await git('-C', repository, 'log', '-1', '--format=%an|%(trailers:key=ATB-Change,valueonly)', 'main'),
    ).toBe('ATB|change.x');
  });

  it('pushes nothing where it is so already, so that it may be repeated', async () => {
    const before = await count();
    expect(await all.run(action('gitops', { version: '1.4.0' }), context(10))).toMatchObject({
      good: true,
      detail: 'apps/values.yaml is so already',
    });
    expect(await count()).toBe(before);
  });

  it('fails where the repository is away, and follows no link out of it', async () => {
    expect(await all.run(action('linked', { version: '1' }), context())).toMatchObject({ good: false });
    const gone = `${repository}.gone`;
    await run('mv', [repository, gone]);
    expect(await all.run(action('gitops', { version: '1.5.0' }), context())).toMatchObject({ good: false });
    await run('mv', [gone, repository]);
  });
});

describe('a smoke test by HTTP', () => {
  it('wants exactly its status, and follows no redirect', async () => {
    const server = createServer((request, response) => {
      response.writeHead(request.url === '/moved' ? 302 : 200, { location: '/' }).end('ok');
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const http = (path: string) => ({ kind: 'http', url: `${url}${path}`, status: 200, timeout_seconds: 20 });
    const all = await operations({
      checks: { alive: http('/'), moved: http('/moved'), dead: { ...http('/'), url: 'http://127.0.0.1:1/' } },
    });
    expect(await all.check('alive', context())).toMatchObject({ good: true });
    expect(await all.check('moved', context())).toMatchObject({
      good: false,
      detail: 'status 302, expected 200',
    });
    expect(await all.check('dead', context())).toMatchObject({ good: false });
    server.close();
  });
});

const hasPrometheus = existsSync('/usr/bin/prometheus');

(hasPrometheus ? describe : describe.skip)('an SLO query against a real Prometheus', () => {
  let prometheus: ChildProcess;
  let url: string;

  beforeAll(async () => {
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    const configuration = join(folder, 'prometheus.yml');
    await writeFile(
      configuration,
      `scrape_configs: [{ job_name: itself, scrape_interval: 3s, static_configs: [{ targets: ['127.0.0.1:${port}'] }] }]\n`,
    );
    prometheus = spawn(
      '/usr/bin/prometheus',
      [
        ...[`--config.file=${configuration}`, `--web.listen-address=127.0.0.1:${port}`],
        `--storage.tsdb.path=${join(folder, 'tsdb')}`,
      ],
      { stdio: 'ignore' },
    );
    await eventually(
      () =>
        fetch(`${url}/api/v1/query?query=up`).then(
          (answer) => answer.text(),
          (error: unknown) => String(error),
        ),
      (answer) => answer.includes('"1"]'),
    );
  });

  afterAll(async () => {
    prometheus.kill('SIGKILL');
    await once(prometheus, 'exit');
  });

  it('passes within its bounds; outside of them, without a number and with several it fails', async () => {
    const slo = (query: string, bounds: JsonObject): JsonObject => ({
      ...{ kind: 'prometheus', url, query, timeout_seconds: 20 },
      ...bounds,
    });
    const all = await operations({
      checks: {
        up: slo('up', { at_least: 1 }),
        scalar: slo('scalar(up)', { at_least: 1, at_most: 1 }),
        down: slo('1 - up', { at_least: 0.5 }),
        above: slo('up + 1', { at_most: 1.5 }),
        nothing: slo('no_such_metric', { at_most: 1 }),
        several: slo('label_replace(up, "x", "1", "", "") or up', { at_least: 0 }),
        nan: slo('up / 0 - up / 0', { at_most: 1 }),
        wrong: slo('up +', { at_most: 1 }),
        away: { ...slo('up', { at_least: 1 }), url: 'http://127.0.0.1:1' },
      },
    });
    const passed = async (name: string) => (await all.check(name, context())).good;
    expect([await passed('up'), await passed('scalar')]).toEqual([true, true]);
    for (const name of ['down', 'above', 'nothing', 'several', 'nan', 'wrong', 'away']) {
      expect([name, await passed(name)]).toEqual([name, false]);
    }
  });
});

describe('an operations file', () => {
  it.each<[string, JsonObject]>([
    ['with a program that is searched for', { operations: { x: { ...sh(''), program: 'sh' } } }],
    ['with a placeholder that no parameter fills', { operations: { x: sh('', { parameters: {} }) } }],
    ['with a pattern that is none', { operations: { x: sh('', { parameters: { text: '(' } }) } }],
    [
      'with a parameter of the name percent',
      { operations: { x: sh('', { parameters: { text: '', percent: '.' } }) } },
    ],
    [
      'with an SLO without a bound',
      {
        checks: { x: { kind: 'prometheus', url: 'https://p.example', query: 'up', timeout_seconds: 1 } },
      },
    ],
    ['with a slip of the pen', { operations: { x: sh('', { repeatble: true }) } }],
    [
      'with a path out of the repository',
      {
        operations: {
          x: {
            ...{ kind: 'commit', repository: 'r', branch: 'main', file: '../x', set: { '/a': 'b' } },
            ...{ parameters: {}, timeout_seconds: 1, author: { name: 'a', email: 'b' } },
          },
        },
      },
    ],
  ])('%s is refused', async (_, document) => {
    await expect(operations(document)).rejects.toMatchObject({ code: 'configuration_invalid' });
  });

  it('of docs/changes.md is one', async () => {
    const page = await readFile('docs/changes.md', 'utf8');
    const [, example = ''] = [...page.matchAll(/```json\n([^]*?)```/g)].map(([, text]) => text ?? '');
    await expect(operations(JSON.parse(example) as JsonObject)).resolves.toBeInstanceOf(ConfiguredOperations);
  });
});
