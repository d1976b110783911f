import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeMadeFile } from '../../apps/atb/made-file';

const PROGRAM = './dist/apps/atb/main.js';

interface Ended {
  readonly code: number | null;
  readonly said: string;
}

/** The compiled program, from a shell, with its output where the shell says. */
async function typed(line: string): Promise<Ended> {
  const child = spawn('bash', ['-c', line, process.execPath, PROGRAM]);
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, said };
}

describe('the answer of a command', () => {
  beforeAll(() => {
    const building = `await (await import('${process.cwd()}/tools/prepare.mjs')).build(() => undefined)`;
    execFileSync(process.execPath, ['--input-type=module', '--eval', building]);
  });

  it('that cannot be written is told in one line, with 69', async () => {
    for (const command of ['--help', 'template ls --json']) {
      const { code, said } = await typed(`"$0" "$1" ${command} > /dev/full`);
      expect(said).toMatch(/^atb: the answer cannot be written: .*no space left.*\n$/i);
      expect(code).toBe(69);
    }
  });

  it('ends quietly where nobody reads any more', async () => {
    // The reader is gone before the first word: the program starts after it.
    const line = `mkfifo "$2/pipe"; (exec 3<"$2/pipe") & exec 4>"$2/pipe"; wait $!; "$0" "$1" template ls --json >&4`;
    const folder = mkdtempSync(join(tmpdir(), 'atb-output-'));
    const child = spawn('bash', ['-c', line, process.execPath, PROGRAM, folder]);
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number | null];
    rmSync(folder, { recursive: true });
    expect({ said, code }).toEqual({ said: '', code: 0 });
  });
});

describe('a file on a disk without room', () => {
  /** A file system of so many bytes of our own; who may not mount one has none. */
  const folder = mkdtempSync(join(tmpdir(), 'atb-small-disk-'));
  const isMounted = (() => {
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  })();

  afterAll(() => {
    if (isMounted) execFileSync('umount', [folder]);
    rmSync(folder, { recursive: true });
  });

  (isMounted ? it : it.skip)('is told, and is not there: no half of it looks like the whole', async () => {
    // The last line alone does not fit: what fits of it would end the file without an error.
    const lines = Array.from({ length: 15 }, () => `${'x'.repeat(4_095)}\n`);
    await expect(writeMadeFile(join(folder, 'events'), [...lines, 'y'.repeat(8_192)])).rejects.toMatchObject({
      name: 'Unwritten',
      message: expect.stringContaining('no space left on device') as string,
    });
    expect(readdirSync(folder)).toEqual([]);
    await writeMadeFile(join(folder, 'events'), lines);
    expect(readdirSync(folder)).toEqual(['events']);
  });
});
