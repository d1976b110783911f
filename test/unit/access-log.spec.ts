import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AccessLog } from '../../adapters/access-log/access-log';
import type { AccessLogOptions } from '../../adapters/access-log/access-log';
import { segmentsOf } from '../../adapters/access-log/segments';
import { loggableRequestId } from '../../domain/access';
import { anAccess } from '../support/access';
import { eventually } from '../support/eventually';

describe('the access log', () => {
  let folder = '';
  let now = new Date('2026-11-26T10:00:00Z');
  const dropped: [string, number][] = [];
  const trouble: string[] = [];
  const open = (options: Partial<AccessLogOptions> = {}) =>
    AccessLog.open(
      { stdout: false, folder, segmentBytes: 1_000_000, mostBytes: 10_000_000, ...options },
      {
        written: () => undefined,
        dropped: (where, lines) => dropped.push([where, lines]),
        trouble: (message) => trouble.push(message),
      },
      [],
      () => now,
    );
  const lines = async () => {
    const segments = await segmentsOf(folder);
    const texts = await Promise.all(segments.map(({ name }) => readFile(join(folder, name), 'utf8')));
    return texts.map((text) =>
      text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => (JSON.parse(line) as { id: string }).id),
    );
  };

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'atb-access-'));
    now = new Date('2026-11-26T10:00:00Z');
    dropped.length = 0;
    trouble.length = 0;
  });
  afterEach(async () => {
    jest.restoreAllMocks();
    await rm(folder, { recursive: true, force: true });
  });

  it('writes one line of JSON for a call, with the members that docs/access-log.md names', async () => {
    const log = await open();
    log.write(anAccess('one'));
    await log.close();
    const [segment] = await segmentsOf(folder);
    const text = await readFile(join(folder, segment?.name ?? ''), 'utf8');
    const documented = [
      ...(await readFile('docs/access-log.md', 'utf8')).matchAll(/^\| `([a-z_]+)` +\| [^|]+\|$/gm),
    ].map(([, name]) => name);
    expect(Object.keys(JSON.parse(text) as object)).toEqual(documented);
    expect(text.endsWith('}\n')).toBe(true);
  });

  it('begins another file at the size, and at midnight (UTC), and loses no line', async () => {
    const bytes = Buffer.byteLength(await sampleLine());
    const log = await open({ segmentBytes: 3 * bytes });
    for (const id of ['aaaa1', 'aaaa2', 'aaaa3', 'aaaa4']) log.write(anAccess(id));
    now = new Date('2026-11-27T00:00:00.000Z');
    log.write(anAccess('aaaa5'));
    await log.close();
    expect(await lines()).toEqual([['aaaa1', 'aaaa2', 'aaaa3'], ['aaaa4'], ['aaaa5']]);
  });

  it('begins a later file after a restart, also where the clock went back', async () => {
    const first = await open();
    first.write(anAccess('before'));
    await first.close();
    now = new Date('2026-11-25T23:00:00Z');
    const second = await open();
    second.write(anAccess('after'));
    second.write(anAccess('after-2'));
    await second.close();
    expect(await lines()).toEqual([['before'], ['after', 'after-2']]);
  });

  it('keeps to its bound: the oldest files go, the one that is written stays, other files are nobody’s', async () => {
    await writeFile(join(folder, 'checkpoint'), 'not a line');
    const bytes = Buffer.byteLength(await sampleLine());
    const log = await open({ segmentBytes: bytes, mostBytes: 3 * bytes });
    for (const id of ['aaaa1', 'aaaa2', 'aaaa3', 'aaaa4', 'aaaa5', 'aaaa6']) {
      log.write(anAccess(id));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await log.close();
    expect((await lines()).flat()).toEqual(expect.arrayContaining(['aaaa5', 'aaaa6']));
    expect((await lines()).flat().length).toBeLessThanOrEqual(4);
    expect(await readdir(folder)).toContain('checkpoint');
    expect(trouble).toEqual([]);
  });

  it('answers calls where the folder cannot be written to: it drops, counts and says so, and never throws', async () => {
    const log = await open();
    await rm(folder, { recursive: true });
    // By a clock that stands still: what a slow machine takes is no while.
    const begun = performance.now();
    const clock = jest.spyOn(performance, 'now').mockReturnValue(begun);
    for (let at = 0; at < 20_000; at += 1) log.write(anAccess(`line-${at}`));
    const lost = () => dropped.reduce((sum, [, lines]) => sum + lines, 0);
    const isLost = (count: number) => eventually(lost, (sum) => sum === count, 1);
    await isLost(20_000);
    log.write(anAccess('at-once'));
    expect(lost()).toBe(20_001);
    expect(trouble.join()).toContain('cannot be written to');
    await mkdir(folder);
    clock.mockReturnValue(begun + 1_000);
    log.write(anAccess('again'));
    await log.close();
    expect(await lines()).toEqual([['again']]);
  });

  it('takes from a path only what is a request’s id', () => {
    expect(loggableRequestId('q8Jd0f3l2mPzXc9A1bTeR5sY7uW')).toBe('q8Jd0f3l2mPzXc9A1bTeR5sY7uW');
    expect(loggableRequestId('eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJ4In0.c2ln')).toBeNull();
    expect(loggableRequestId('password=hunter2hunter2')).toBeNull();
  });

  async function sampleLine(): Promise<string> {
    const sample = await mkdtemp(join(tmpdir(), 'atb-access-'));
    const log = await open({ folder: sample });
    log.write(anAccess('aaaa1'));
    await log.close();
    const [segment] = await segmentsOf(sample);
    const text = await readFile(join(sample, segment?.name ?? ''), 'utf8');
    await rm(sample, { recursive: true });
    return text;
  }
});
