import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HeadObjectCommand, ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3';
import { LogBucket } from '../../adapters/audit-log/log-bucket';
import { LogDirectory } from '../../adapters/audit-log/log-directory';
import { LogMirror } from '../../adapters/audit-log/log-mirror';
import { LogPublisher } from '../../adapters/audit-log/log-publisher';
import { LogReader } from '../../adapters/audit-log/log-reader';
import { verifyLog } from '../../adapters/audit-log/log-verifier';
import { generateSignerKey, parseSignerKey } from '../../adapters/audit-log/note-key';
import { bundlePath, tilePath } from '../../domain/log-tile';
import type { AuditLeaves, WormStore } from '../../domain/ports';
import { runAtb } from '../support/atb';
import { leavesOf } from '../support/leaves';
import { ObjectStore } from '../support/object-store';

const signer = parseSignerKey(generateSignerKey('audit.corp.example'));
const keys = [signer];
const NOW = new Date('2026-11-26T12:00:00.000Z');

let store: ObjectStore;
beforeAll(async () => {
  store = await ObjectStore.start();
}, 300_000);
afterAll(() => store.stop());

let folder: string;
let bucket: string;
let worm: LogBucket;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'atb-log-'));
  bucket = await store.bucket();
  worm = await LogBucket.at(`s3://${bucket}/audit`, store.environment);
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const directory = () => new LogDirectory(folder);
const publisher = (leaves: AuditLeaves) =>
  new LogPublisher({ leaves, store: directory(), signer, checkpointEntries: 100 });
const sealed = (size: number, leaves = leavesOf(size)) => publisher(leaves).publish();
const mirrorTo = (to: WormStore, now = NOW) =>
  new LogMirror({ local: directory(), worm: to, keys, retentionYears: 7, now: () => now });

/** What the log does in each round. */
async function copied(size: number, leaves = leavesOf(size), to: WormStore = worm, now = NOW): Promise<void> {
  const mirror = mirrorTo(to, now);
  const last = await mirror.last();
  const next = await sealed(size, leaves);
  if (next) await mirror.copy(last, next);
}

const verified = () => verifyLog(new LogReader(worm), { keys });
const coded = (code: string, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) as string }) as Error;

async function names(): Promise<readonly string[]> {
  const { Contents: objects = [] } = await store.owner.send(new ListObjectsV2Command({ Bucket: bucket }));
  return objects.map(({ Key }) => (Key ?? '').replace('audit/', ''));
}

async function keptUntil(path: string): Promise<Date | undefined> {
  const object = { Bucket: bucket, Key: `audit/${path}` };
  return (await store.owner.send(new HeadObjectCommand(object))).ObjectLockRetainUntilDate;
}

describe('the copy in the bucket', () => {
  it('is the log, whatever its size, and verifies by itself', async () => {
    for (const size of [1, 255, 256, 257, 700, 1300]) {
      await copied(size);
      expect(await verified()).toMatchObject({ size });
    }
    expect(await worm.read('checkpoint', 1000)).toEqual(readFileSync(join(folder, 'checkpoint')));
  });

  it('has the full files, and of the partial ones those at the checkpoints that it has', async () => {
    for (const size of [10, 20, 30, 40]) await sealed(size);
    await copied(300);
    for (const size of [310, 320]) await sealed(size);
    await copied(520);
    expect([...(await names())].sort()).toEqual(
      [
        'checkpoint',
        ...[0, 1].flatMap((index) => [bundlePath(index, 256), tilePath({ level: 0, index, width: 256 })]),
        ...[bundlePath(1, 44), tilePath({ level: 0, index: 1, width: 44 })],
        ...[bundlePath(2, 8), tilePath({ level: 0, index: 2, width: 8 })],
        ...[1, 2].map((width) => tilePath({ level: 1, index: 0, width })),
      ].sort(),
    );
  });

  it('is verified and proves events by its URL', async () => {
    const withId = (index: number) => Buffer.from(`{"id":"request-${index}/poa_issued"}`);
    await copied(300, leavesOf(300, withId));
    const atb = async (...argv: string[]) => {
      const environment = { ...store.environment, ATB_STATE_DIR: folder };
      const { exit, out, err } = await runAtb(argv, { environment, now: () => NOW });
      return { exitCode: exit, stdout: out, stderr: err };
    };
    const log = ['--log', `s3://${bucket}/audit`, '--vkey', signer.vkey];
    expect(await atb('audit', 'verify', ...log)).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/holds: 300 entries/) as string,
    });
    const proved = await atb('audit', 'prove', 'request-77/poa_issued', ...log);
    writeFileSync(join(folder, 'proof'), proved.stdout);
    expect(await atb('audit', 'check', join(folder, 'proof'), '--vkey', signer.vkey)).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/at 77 of 300/) as string,
    });
    expect(await atb('audit', 'prove', '77', ...log)).toEqual(proved);
    // In the second bundle, which is not full.
    writeFileSync(join(folder, 'last'), (await atb('audit', 'prove', '299', ...log)).stdout);
    expect(await atb('audit', 'check', join(folder, 'last'), '--vkey', signer.vkey)).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/at 299 of 300/) as string,
    });
    expect((await atb('audit', 'prove', '300', ...log)).exitCode).toBe(1);
    const elsewhere = ['--log', `s3://${bucket}/nothing`, '--vkey', signer.vkey];
    expect((await atb('audit', 'verify', ...elsewhere)).exitCode).toBe(1);
    expect((await atb('audit', 'verify', '--log', 's3://x', '--vkey', signer.vkey)).exitCode).toBe(64);
    const object = { Bucket: bucket, Key: `audit/${bundlePath(0, 256)}` };
    await store.owner.send(new PutObjectCommand({ ...object, Body: Buffer.from('over it') }));
    expect(await atb('audit', 'verify', ...log)).toMatchObject({
      exitCode: 1,
      stderr: expect.stringMatching(/tile\/entries\/000/) as string,
    });
  });

  it('is kept for seven years from its copying, or from the event where that says that it is later', async () => {
    await copied(10);
    for (const path of ['checkpoint', bundlePath(0, 10), tilePath({ level: 0, index: 0, width: 10 })])
      expect(await keptUntil(path)).toEqual(new Date('2033-11-26T12:00:00.000Z'));
    const late = (index: number) => Buffer.from(`{"n":${index},"time":"2026-11-26T13:30:00.500Z"}`);
    const ahead = leavesOf(20, (index) => (index < 10 ? leavesOfTen(index) : late(index)));
    await copied(20, ahead);
    for (const path of ['checkpoint', bundlePath(0, 20)])
      expect(await keptUntil(path)).toEqual(new Date('2033-11-26T13:30:01.000Z'));
    // A clock that was moved back an hour shortens nothing that was promised.
    await copied(
      21,
      leavesOf(21, (index) => (index < 10 ? leavesOfTen(index) : late(index))),
      worm,
      HOUR_BACK,
    );
    expect(await keptUntil(bundlePath(0, 21))).toEqual(new Date('2033-11-26T13:30:01.000Z'));
  });

  it('goes on after a crash at any write, before it or after it, and is whole at every moment', async () => {
    await copied(300);
    for (const side of ['before', 'after'] as const) {
      for (let writes = 0, done = false; !done; writes++) {
        const crashing = crashingAt(writes, side);
        done = await copied(900, leavesOf(900), crashing).then(
          () => true,
          () => false,
        );
        if (!done && !(await worm.read('checkpoint', 1000))) continue;
        expect(await verified()).toMatchObject(done ? { size: 900 } : {});
      }
      bucket = await store.bucket();
      worm = await LogBucket.at(`s3://${bucket}/audit`, store.environment);
    }
  });

  it('is the same by two at once', async () => {
    await Promise.all([copied(700), copied(700), copied(900)].map((one) => one.catch(() => undefined)));
    await copied(901);
    expect(await verified()).toMatchObject({ size: 901 });
  });
});

const HOUR_BACK = new Date(NOW.getTime() - 3_600_000);
const leavesOfTen = (index: number) => Buffer.from(`{"entry":${index}}`);

/** The process is gone at that write: nothing of it is done, or all of it and nobody heard. */
function crashingAt(write: number, side: 'before' | 'after'): WormStore {
  let left = write;
  const crash = async (work: () => Promise<void>) => {
    const last = left-- === 0;
    if (left < -1 || (last && side === 'before')) throw new Error('killed');
    await work();
    if (last) throw new Error('killed');
  };
  return {
    requireLock: () => worm.requireLock(),
    read: (path, mostBytes) => worm.read(path, mostBytes),
    create: (path, bytes, until) => crash(() => worm.create(path, bytes, until)),
    replace: (path, bytes, until) => crash(() => worm.replace(path, bytes, until)),
  };
}

describe('what the log drops of its own', () => {
  it('is partial files that a full one took the place of, and whoever reads by an older checkpoint still can', async () => {
    for (const size of [100, 300, 500]) await sealed(size);
    const before = (await new LogReader(directory()).checkpoint(keys))!;
    await sealed(600);
    const partial = (width: number, index: number) => join(folder, bundlePath(index, width));
    expect([partial(100, 0), partial(44, 1), partial(244, 1)].map((name) => existsSync(name))).toEqual([
      true,
      true,
      true,
    ]);
    await directory().prune(0, 600);
    expect([partial(100, 0), partial(44, 1), partial(244, 1)].map((name) => existsSync(name))).toEqual([
      false,
      false,
      false,
    ]);
    expect(existsSync(partial(88, 2))).toBe(true);
    expect((await new LogReader(directory()).treeOf(before)).size).toBe(500);
    await copied(700);
    expect(await verified()).toMatchObject({ size: 700 });
  });

  it('is nothing where the full one is not there', async () => {
    await sealed(100);
    await directory().prune(0, 600);
    expect(existsSync(join(folder, bundlePath(0, 100)))).toBe(true);
  });
});

describe('nothing is copied', () => {
  it('of a log with a changed byte, which would be locked as it is for years', async () => {
    await copied(300);
    const before = await names();
    await sealed(900);
    const damaged = join(folder, bundlePath(2, 256));
    chmodSync(damaged, 0o644);
    writeFileSync(damaged, readFileSync(damaged, 'utf8').replace('"entry":520', '"entry":521'));
    await expect(copied(900)).rejects.toThrow(coded('audit_log_diverged', /entries\/002: entry 520/));
    expect(await names()).toEqual(before);
  });

  it('of a log that is no longer the one that was copied', async () => {
    await copied(300);
    rmSync(folder, { recursive: true });
    const other = leavesOf(500, (index) => Buffer.from(`other ${index}`));
    await expect(copied(500, other)).rejects.toThrow(coded('audit_log_diverged', /forked/));
    expect(await verified()).toMatchObject({ size: 300 });
  });

  it('of a log of another key', async () => {
    await copied(300);
    const stranger = parseSignerKey(generateSignerKey('audit.corp.example'));
    const theirs = new LogMirror({
      ...{ local: directory(), worm, keys: [stranger], retentionYears: 7, now: () => NOW },
    });
    await expect(theirs.last()).rejects.toThrow(coded('checkpoint_untrusted', /not signed/));
  });

  it('to a bucket that does not hold it', async () => {
    const open = await LogBucket.at(`s3://${await store.bucket({ lock: false })}`, store.environment);
    await expect(copied(1, leavesOf(1), open)).rejects.toThrow(coded('object_lock_missing', /Object Lock/));
  });
});

describe('after a restore from an older copy, with the folder of the log as old as the database, no checkpoint is signed', () => {
  const restored = (leaves: AuditLeaves) => {
    const next = publisher(leaves);
    return { next, mirror: mirrorTo(worm) };
  };
  const forked = (from: number, size: number) =>
    leavesOf(size, (index) => Buffer.from(index < from ? `{"entry":${index}}` : `{"other":${index}}`));

  beforeEach(async () => {
    await copied(600);
    rmSync(folder, { recursive: true });
    await sealed(400);
  });

  it.each<[string, AuditLeaves, RegExp]>([
    ['where it has less than the copy', leavesOf(500), /600.*500.*older copy/],
    ['where it has grown again', forked(400, 700), /another history than its copy, which has 600/],
  ])('%s', async (_, leaves, message) => {
    const { next, mirror } = restored(leaves);
    next.extendOnly((await mirror.last())!);
    await expect(next.publish()).rejects.toThrow(coded('audit_log_diverged', message));
    expect(await new LogReader(directory()).checkpoint(keys)).toMatchObject({ size: 400 });
    expect(existsSync(join(folder, bundlePath(1, 256)))).toBe(false);
  });

  it('where the folder has grown as well', async () => {
    await sealed(700, forked(400, 700));
    const { next, mirror } = restored(forked(400, 700));
    next.extendOnly((await mirror.last())!);
    await expect(next.publish()).rejects.toThrow(coded('audit_log_diverged', /another history/));
  });

  it('but where only the folder is older, or gone, it is sealed again to the same', async () => {
    for (const gone of [false, true]) {
      if (gone) rmSync(folder, { recursive: true });
      const { next, mirror } = restored(leavesOf(700));
      const last = (await mirror.last())!;
      next.extendOnly(last);
      await mirror.copy(last, (await next.publish())!);
      expect(await verified()).toMatchObject({ size: 700 });
    }
  });
});
