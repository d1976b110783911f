import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeMadeFile } from '../../apps/atb/made-file';
import { AtbError } from '../../domain/error';
import { runAtb } from '../support/atb';

describe('a file that a command makes', () => {
  let folder: string;
  const at = (name: string) => join(folder, name);

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'atb-made-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  async function* broken() {
    yield await Promise.resolve('{"index":0}\n');
    throw new AtbError('audit_unavailable', 'the audit store cannot be reached');
  }

  it('is all of what was to be in it, for its owner to read', async () => {
    await writeMadeFile(at('one'), ['a', 'b', 'c']);
    expect(await readFile(at('one'), 'utf8')).toBe('abc');
    expect((await stat(at('one'))).mode & 0o777).toBe(0o600);
    expect(await readdir(folder)).toEqual(['one']);
  });

  it('is not there at all where what was to be in it ends on the way', async () => {
    await expect(writeMadeFile(at('one'), broken())).rejects.toMatchObject({ code: 'audit_unavailable' });
    expect(await readdir(folder)).toEqual([]);
  });

  it('stays what it was until all of the new one is written', async () => {
    await writeFile(at('one'), 'before');
    await expect(writeMadeFile(at('one'), broken(), { replace: true })).rejects.toMatchObject({
      code: 'audit_unavailable',
    });
    expect(await readFile(at('one'), 'utf8')).toBe('before');
    await writeMadeFile(at('one'), ['after'], { replace: true });
    expect(await readFile(at('one'), 'utf8')).toBe('after');
    expect(await readdir(folder)).toEqual(['one']);
  });

  it('replaces none that is there, also one that somebody made meanwhile', async () => {
    await writeFile(at('one'), 'theirs');
    await expect(writeMadeFile(at('one'), ['ours'])).rejects.toThrow('is there already');
    async function* slower() {
      await writeFile(at('two'), 'theirs');
      yield 'ours';
    }
    await expect(writeMadeFile(at('two'), slower())).rejects.toThrow('is there already');
    for (const name of ['one', 'two']) expect(await readFile(at(name), 'utf8')).toBe('theirs');
    expect(await readdir(folder)).toEqual(['one', 'two']);
  });

  it('goes into a device as it is: a full one is told with 69, and is no file afterwards', async () => {
    execFileSync('test', ['-c', '/dev/full']);
    await expect(writeMadeFile('/dev/full', ['x'], { replace: true })).rejects.toMatchObject({
      name: 'Unwritten',
      message: expect.stringContaining('no space left on device') as string,
    });
    expect((await stat('/dev/full')).isCharacterDevice()).toBe(true);
  });

  it('is refused as wrong use where there is no such folder', async () => {
    await expect(writeMadeFile(at('no/one'), ['x'])).rejects.toMatchObject({ name: 'UsageError' });
  });

  it('is no key of a log whose verifier key has no place', async () => {
    await writeFile(at('key.pub'), 'of another');
    const { exit, err } = await runAtb(['audit', 'key', 'audit.example.com', '--out', at('key')]);
    expect({ exit, err }).toMatchObject({
      exit: 64,
      err: expect.stringContaining('is there already') as string,
    });
    expect(await readdir(folder)).toEqual(['key.pub']);
  });
});
