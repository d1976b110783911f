import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LogDirectory } from '../../adapters/audit-log/log-directory';
import { LogPublisher } from '../../adapters/audit-log/log-publisher';
import { LogReader } from '../../adapters/audit-log/log-reader';
import { verifyLog } from '../../adapters/audit-log/log-verifier';
import { generateSignerKey, parseSignerKey, parseWitnessKey } from '../../adapters/audit-log/note-key';
import { cosigning, parseWitness } from '../../adapters/audit-log/witness';
import type { AuditLeaves } from '../../domain/ports';
import { openNote, requireQuorum } from '../../domain/signed-note';
import { atbIn } from '../support/atb';
import { leavesOf } from '../support/leaves';
import { TestWitness } from '../support/witness';

const signer = parseSignerKey(generateSignerKey('audit.corp.example'));

let folder: string;
let witness: TestWitness;
let other: TestWitness;
let refusals: string[];
let count: number;
let clock: number;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'atb-log-'));
  witness = await TestWitness.of('witness.example/w1', [signer]);
  other = await TestWitness.of('other.example/w2', [signer]);
  refusals = [];
  count = 0;
  clock = 0;
});
afterEach(async () => {
  await witness.stop();
  await other.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** The log as it comes up: what it knew of its witnesses is gone. */
function started(asked = [witness, other]) {
  const cosign = cosigning(
    asked.map(({ configuration }) => parseWitness(configuration)),
    {
      cosigned: (n) => (count = n),
      refused: (_, { message }) => refusals.push(message),
    },
    () => clock,
  );
  return (size: number, leaves: AuditLeaves = leavesOf(size)) =>
    new LogPublisher({
      ...{ leaves, store: new LogDirectory(folder), signer, checkpointEntries: 100, cosign },
    }).publish();
}

const note = () => readFileSync(join(folder, 'checkpoint'));
const cosignedBy = () => {
  const keys = [witness, other].map(({ vkey }) => parseWitnessKey(vkey));
  return requireQuorum(note(), keys, 0).map(({ name }) => name);
};
const BOTH = ['witness.example/w1', 'other.example/w2'];

async function verified(...argv: string[]) {
  const log = ['audit', 'verify', '--log', folder, '--vkey', signer.vkey, ...argv];
  const { exit, out, err } = await atbIn(folder, log);
  return { exitCode: exit, stdout: out, stderr: err };
}

describe('checkpoints that witnesses cosign', () => {
  it('carry the signatures of both, over a proof that each extends the last', async () => {
    const publish = started();
    for (const size of [1, 5, 256, 300, 1000]) {
      await publish(size);
      expect(cosignedBy()).toEqual(BOTH);
      expect(count).toBe(2);
    }
    expect(witness.asked.map(({ old }) => old)).toEqual([0, 1, 5, 256, 300]);
    expect(refusals).toEqual([]);
    expect(openNote(note(), [signer]).signedBy).toHaveLength(1);
    await verifyLog(new LogReader(new LogDirectory(folder)), { keys: [signer] });
  });

  it('go on where the witness remembers, and the log does not', async () => {
    await started()(300);
    await started()(700);
    expect(cosignedBy()).toEqual(BOTH);
    expect(witness.asked).toEqual([
      { old: 0, status: 200 },
      { old: 0, status: 409 },
      { old: 300, status: 200 },
    ]);
  });

  it('catch up with a witness that was away, and with an idle log too', async () => {
    const publish = started();
    await publish(10);
    witness.misbehave = (response) => response.writeHead(503).end();
    await publish(300);
    await publish(500);
    expect(cosignedBy()).toEqual(['other.example/w2']);
    expect(count).toBe(1);
    expect(refusals).toEqual([expect.stringMatching(/w1 did not cosign: it answered 503/)]);
    witness.misbehave = undefined;
    clock += 5_000;
    await publish(500);
    expect(cosignedBy()).toEqual(BOTH);
    expect(witness.asked.at(-1)).toEqual({ old: 10, status: 200 });
    await publish(500);
    expect(witness.asked).toHaveLength(2);
  });

  it('are not kept waiting by one that hangs', async () => {
    witness.misbehave = () => undefined;
    const publish = started();
    // It would hang for ever.
    await publish(10);
    await publish(20);
    expect(cosignedBy()).toEqual(['other.example/w2']);
  });

  it.each<[string, (response: ServerResponse) => void, RegExp]>([
    ['nothing', (response) => response.end(), /no signature of its key/],
    ['what is no signature', (response) => response.end('junk\n'), /no signature/],
    ['without end', (response) => response.end('x'.repeat(1_000_000)), /too long/],
    [
      'that it is elsewhere',
      (response) => response.writeHead(307, { location: '/' }).end(),
      /did not cosign/,
    ],
    [
      'a size that there cannot be',
      (response) =>
        response.writeHead(409, { 'content-type': 'text/x.tlog.size' }).end('99999999999999999\n'),
      /another root/,
    ],
    [
      'always the same size',
      (response) => response.writeHead(409, { 'content-type': 'text/x.tlog.size' }).end('0\n'),
      /another root/,
    ],
  ])('are without the one that answers %s', async (_, misbehave, message) => {
    witness.misbehave = misbehave;
    await started()(10);
    expect(cosignedBy()).toEqual(['other.example/w2']);
    expect(refusals).toEqual([expect.stringMatching(message)]);
  });
});

describe('no cosignature is there', () => {
  it('by a key that is not that of the witness', async () => {
    witness.loseKey();
    await started()(10);
    expect(refusals).toEqual([expect.stringMatching(/its signature is not of its key/)]);
    expect(cosignedBy()).toEqual(['other.example/w2']);
  });

  it('of a witness that does not know the log, or not its key', async () => {
    const stranger = parseSignerKey(generateSignerKey('audit.corp.example'));
    const wary = await TestWitness.of('wary.example', [stranger]);
    const busy = await TestWitness.of('busy.example', []);
    await started([wary, busy])(10);
    expect(refusals.sort()).toEqual([
      expect.stringMatching(/busy.example .* does not know the log/),
      expect.stringMatching(/wary.example .* does not trust the log's key/),
    ]);
    await wary.stop();
    await busy.stop();
  });

  it.each<[string, number, RegExp]>([
    ['grown again', 900, /another history of the log: the log was forked/],
    ['of the same size', 600, /another root at this size: the log was forked/],
    ['smaller', 500, /cosigned 600 entries of this log, which has 500: was it restored/],
  ])(
    "under a log that shows another history, %s, signed with the log's own key",
    async (_, size, message) => {
      await started()(600);
      rmSync(folder, { recursive: true });
      await started()(
        size,
        leavesOf(size, (index) => Buffer.from(`other ${index}`)),
      );
      expect(cosignedBy()).toEqual([]);
      expect(refusals).toHaveLength(2);
      expect(refusals[0]).toMatch(message);
    },
  );
});

describe('atb audit verify --witness', () => {
  it('wants as many of the witnesses as it is told, and all of them unless told', async () => {
    await started([witness])(300);
    const both = ['--witness', witness.vkey, '--witness', other.vkey];
    expect(await verified('--witness', witness.vkey)).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/cosigned by witness.example\/w1/) as string,
    });
    expect(await verified(...both, '--quorum', '1')).toMatchObject({ exitCode: 0 });
    expect(await verified(...both)).toMatchObject({
      exitCode: 1,
      stderr: expect.stringMatching(/cosigned by 1 of the witnesses, not by 2/) as string,
    });
    const file = join(folder, 'witness.pub');
    writeFileSync(file, `${witness.vkey}\n`);
    expect(await verified('--witness', file, '--witness', witness.vkey, '--quorum', '2')).toMatchObject({
      exitCode: 1,
    });
  });

  it.each([
    [['--witness', 'nobody'], 64],
    [['--witness', signer.vkey], 64],
    [['--quorum', '1'], 64],
    [['--quorum', '0', '--witness', 'W'], 64],
    [['--quorum', '2', '--witness', 'W'], 64],
  ])('refuses %j', async (argv, exitCode) => {
    await started([witness])(3);
    const told = argv.map((word) => (word === 'W' ? witness.vkey : word));
    expect((await verified(...told)).exitCode).toBe(exitCode);
  });

  it.each([['--witness'], ['--tsa']])('says that %s is wrong before it reads a log', async (option) => {
    writeFileSync(join(folder, 'nothing'), '');
    expect((await verified()).exitCode).not.toBe(64);
    expect((await verified(option, join(folder, 'nothing'))).exitCode).toBe(64);
  });
});

describe('a cosignature', () => {
  it('is refused with any byte of it changed, its time too', async () => {
    await started([witness])(3);
    const key = parseWitnessKey(witness.vkey);
    const { text } = openNote(note(), [signer]);
    const line = note().toString('utf8').trimEnd().split('\n').at(-1) ?? '';
    const signature = Buffer.from(line.split(' ').at(-1) ?? '', 'base64').subarray(4);
    expect(key.verify(text, signature)).toBe(true);
    for (let at = 0; at < signature.length; at++) {
      const changed = Buffer.from(signature);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(key.verify(text, changed)).toBe(false);
    }
    expect(key.verify(text, signature.subarray(1))).toBe(false);
    expect(key.verify(text.replace('3', '4'), signature)).toBe(false);
  });
});
