import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { anAccess } from '../support/access';
import { eventually } from '../support/eventually';

/** Writes more lines than a pipe holds (64 KiB on Linux), and ends. */
const PROGRAM = `
  const { AccessLog } = require('./dist/adapters/access-log/access-log.js');
  const access = { ...JSON.parse(process.argv[1]), time: new Date() };
  const none = () => undefined;
  const watch = { written: none, dropped: none, trouble: (message) => process.stderr.write(message) };
  AccessLog.open({ stdout: true, segmentBytes: 1e6, mostBytes: 1e7 }, watch).then(async (log) => {
    for (let line = 0; line < 2000; line++) log.write(access);
    await log.close();
  });`;

const ACCESS = JSON.stringify(anAccess('one'));

describe('the access log on a pipe', () => {
  beforeAll(() => {
    const building = `await (await import('${process.cwd()}/tools/prepare.mjs')).build(() => undefined)`;
    execFileSync(process.execPath, ['--input-type=module', '--eval', building]);
  });

  // A shell's pipes are FIFOs, as a container's are; spawn would make sockets.
  const piped = (reader: string) =>
    spawn(
      'sh',
      [
        '-c',
        `("$0" --eval "$1" "$2" 3<&-; echo "ended $?" >&2) | ${reader}`,
        process.execPath,
        PROGRAM,
        ACCESS,
      ],
      { stdio: ['pipe', 'pipe', 'pipe', 'pipe'] },
    );

  it('writes every line where somebody reads', async () => {
    const child = piped('wc -l');
    let counted = '';
    child.stdout.on('data', (chunk: Buffer) => (counted += chunk.toString()));
    await once(child, 'close');
    expect(Number(counted)).toBe(2_000);
  });

  it('lets the process end where nobody does, and says what was lost', async () => {
    // Waits for a word that never comes, until we end.
    const child = piped('read -r word <&3');
    const closed = once(child, 'close');
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await eventually(
      () => said,
      (words) => /ended \d/.test(words),
    );
    // The one who does not read is still there.
    expect(child.exitCode).toBeNull();
    expect(said).toContain('without its last lines');
    expect(said).toContain('ended 0');
    child.stdio[3]?.destroy();
    await closed;
  });
});
