import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LogDirectory } from '../../adapters/audit-log/log-directory';
import { LogPublisher } from '../../adapters/audit-log/log-publisher';
import { LogReader } from '../../adapters/audit-log/log-reader';
import { verifyLog } from '../../adapters/audit-log/log-verifier';
import type { VerifyOptions } from '../../adapters/audit-log/log-verifier';
import { generateSignerKey, parseSignerKey } from '../../adapters/audit-log/note-key';
import { PostgresAuditLeaves } from '../../adapters/postgres/audit-leaves';
import { PostgresLedger } from '../../adapters/postgres/ledger';
import { migrate } from '../../adapters/postgres/schema';
import { formatCheckpoint } from '../../domain/checkpoint';
import { bundlePath, formatBundle, parseBundle, tilePath } from '../../domain/log-tile';
import { includes, inclusionPath, proofOf } from '../../domain/merkle-proof';
import { hashLeaf } from '../../domain/merkle-tree';
import type { AuditLeaves, ReplacedPath } from '../../domain/ports';
import { signNote } from '../../domain/signed-note';
import { atbIn } from '../support/atb';
import { TestDatabase } from '../support/database';
import { entry, leavesOf } from '../support/leaves';
import { anEvent } from '../support/ledger-contract';

const signer = parseSignerKey(generateSignerKey('audit.corp.example'));

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'atb-log-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

const at = (path: string) => join(directory, path);
const publisher = (leaves: AuditLeaves, checkpointEntries = 1000) =>
  new LogPublisher({ leaves, store: new LogDirectory(directory), signer, checkpointEntries });
const publish = (size: number) => publisher(leavesOf(size)).publish();
const reader = () => new LogReader(new LogDirectory(directory));
const verify = (options: Partial<VerifyOptions> = {}) => verifyLog(reader(), { keys: [signer], ...options });
const coded = (code: string, message?: RegExp) =>
  expect.objectContaining({
    code,
    ...(message && { message: expect.stringMatching(message) as string }),
  }) as Error;

/** Whoever can write where the log lies. */
function tamper(path: string, change: (bytes: Buffer) => Uint8Array): void {
  chmodSync(at(path), 0o644);
  writeFileSync(at(path), change(readFileSync(at(path))));
}
const changedAt = (position: number) => (bytes: Buffer) => {
  bytes[position] = (bytes[position] ?? 0) ^ 1;
  return bytes;
};

describe('the sealed log', () => {
  it.each([0, 1, 255, 256, 257, 512, 1000, 2300])('of %i entries verifies from the outside', async (size) => {
    await publish(size);
    if (size === 0) {
      await expect(verify()).rejects.toThrow(coded('audit_log_malformed', /no checkpoint/));
      return;
    }
    const seen: number[] = [];
    const checkpoint = await verify({ onEntry: (_, index) => seen.push(index) });
    expect(checkpoint).toMatchObject({ origin: 'audit.corp.example', size });
    expect(seen).toEqual(Array.from({ length: size }, (_, index) => index));
  });

  it('grows step by step to the same as at once', async () => {
    for (const size of [3, 256, 300, 511, 512, 513, 1300]) await publish(size);
    const grown = await verify();
    directory = mkdtempSync(join(tmpdir(), 'atb-log-'));
    await publish(1300);
    expect(await verify()).toEqual(grown);
  });

  it('has a checkpoint at the latest after so many entries', async () => {
    const sizes: number[] = [];
    const store = new LogDirectory(directory);
    const told = {
      read: store.read.bind(store),
      create: store.create.bind(store),
      replace: async (path: ReplacedPath, bytes: Uint8Array) => {
        sizes.push(Number(Buffer.from(bytes).toString().split('\n')[1]));
        await store.replace(path, bytes);
      },
    };
    await new LogPublisher({
      leaves: leavesOf(2500),
      store: told,
      signer,
      checkpointEntries: 1000,
    }).publish();
    expect(sizes).toEqual([1000, 2000, 2500]);
  });

  it('goes on after a crash at any write, and writes nothing twice in another way', async () => {
    await publish(300);
    for (let writes = 0; ; writes++) {
      const store = new LogDirectory(directory);
      let left = writes;
      const crash = async (write: () => Promise<void>) => {
        if (left-- === 0) throw new Error('killed');
        await write();
      };
      const crashing = {
        read: store.read.bind(store),
        create: (path: string, bytes: Uint8Array) => crash(() => store.create(path, bytes)),
        replace: (path: ReplacedPath, bytes: Uint8Array) => crash(() => store.replace(path, bytes)),
      };
      const crashed = await new LogPublisher({
        ...{ leaves: leavesOf(900), store: crashing, signer, checkpointEntries: 200 },
      })
        .publish()
        .then(
          () => false,
          () => true,
        );
      await verify();
      if (!crashed) break;
    }
    expect(await verify()).toMatchObject({ size: 900 });
  });

  it('is the same by two publishers at once', async () => {
    const both = [publisher(leavesOf(700), 100), publisher(leavesOf(900), 70)];
    await Promise.all(both.map((one) => one.publish()));
    await publish(901);
    expect(await verify()).toMatchObject({ size: 901 });
  });

  it('lies in read-only files', async () => {
    await publish(300);
    for (const path of ['checkpoint', 'tile/entries/000', tilePath({ level: 0, index: 1, width: 44 })]) {
      expect(statSync(at(path)).mode & 0o777).toBe(0o444);
    }
  });

  it('proves one entry with the tiles alone', async () => {
    await publish(70_000);
    const checkpoint = await verify({ trusted: await verify() });
    for (const index of [0, 255, 256, 65_535, 65_536, 69_999]) {
      const proof = await proofOf(inclusionPath(index, 70_000), (node) => reader().node(node, 70_000));
      expect(includes({ index, hash: hashLeaf(entry(index)) }, checkpoint, proof)).toBe(true);
      expect(includes({ index, hash: hashLeaf(entry(index + 1)) }, checkpoint, proof)).toBe(false);
    }
  });
});

describe('no checkpoint is signed', () => {
  it('where the database has less than was sealed: restored from an older copy', async () => {
    await publish(600);
    await expect(publish(500)).rejects.toThrow(coded('audit_log_diverged', /600.*500.*older copy/));
    expect(await verify()).toMatchObject({ size: 600 });
  });

  it('where the database was restored from an older copy and has grown again', async () => {
    await publish(600);
    const other = (index: number) => (index < 500 ? entry(index) : Buffer.from(`other ${index}`));
    await expect(publisher(leavesOf(700, other)).publish()).rejects.toThrow(
      coded('audit_log_diverged', /entry 512 is not the one that was sealed/),
    );
    expect(await verify()).toMatchObject({ size: 600 });
  });

  it('where an entry is missing', async () => {
    const gap: AuditLeaves = {
      size: () => Promise.resolve(5),
      async *read(from, to) {
        for await (const leaf of leavesOf(5).read(from, to)) if (leaf.index !== 3) yield leaf;
      },
    };
    await expect(publisher(gap).publish()).rejects.toThrow(
      coded('audit_log_diverged', /entry 3 is not there/),
    );
  });

  it("where the stored checkpoint is of another key, or the log's tiles are not its own", async () => {
    await publish(300);
    const other = parseSignerKey(generateSignerKey('audit.corp.example'));
    const store = new LogDirectory(directory);
    const stranger = new LogPublisher({ leaves: leavesOf(301), store, signer: other, checkpointEntries: 9 });
    await expect(stranger.publish()).rejects.toThrow(coded('checkpoint_untrusted'));
    tamper(tilePath({ level: 0, index: 1, width: 44 }), changedAt(0));
    await expect(publish(301)).rejects.toThrow(coded('audit_log_malformed', /do not make the root/));
  });
});

describe('tampering is found and named', () => {
  const BUNDLE = bundlePath(2, 256);
  const entriesOf = (bytes: Buffer) => parseBundle(bytes, 2, 256);
  const rewritten = (change: (entries: Uint8Array[]) => Uint8Array[]) => (bytes: Buffer) =>
    formatBundle(change(entriesOf(bytes)));

  beforeEach(() => publish(1000));

  it.each<[string, string, (bytes: Buffer) => Uint8Array, RegExp]>([
    ['one byte of an event', BUNDLE, changedAt(2), /entries\/002: entry 512 was changed/],
    [
      'a removed event',
      BUNDLE,
      rewritten((entries) => [...entries.slice(0, 7), ...entries.slice(8), Buffer.from('x')]),
      /entry 519 was removed/,
    ],
    [
      'a doubled event',
      BUNDLE,
      rewritten((entries) => [...entries.slice(0, 8), ...entries.slice(7, 255)]),
      /entry 519 is there twice/,
    ],
    [
      'two swapped events',
      BUNDLE,
      rewritten(([a, b, c, ...rest]) => [c!, b!, a!, ...rest]),
      /entries 512 and 514 are swapped/,
    ],
    ['an event cut out of its bundle', BUNDLE, rewritten((entries) => entries.slice(1)), /has 255 entries/],
    [
      'one byte of a tile',
      tilePath({ level: 0, index: 2, width: 256 }),
      changedAt(40),
      /tile\/0\/002 was changed/,
    ],
    [
      'one byte of a tile above',
      tilePath({ level: 1, index: 0, width: 3 }),
      changedAt(40),
      /tile\/1\/000.p\/3/,
    ],
  ])('%s', async (_, path, change, message) => {
    tamper(path, change);
    await expect(verify()).rejects.toThrow(coded('audit_log_malformed', message));
  });

  it('one byte of a checkpoint, wherever', async () => {
    const note = readFileSync(at('checkpoint'));
    for (let position = 0; position < note.length; position++) {
      tamper('checkpoint', () => changedAt(position)(Buffer.from(note)));
      await expect(verify()).rejects.toThrow(/signed note|signature|checkpoint|signed by/);
    }
  });

  it('a checkpoint of another key', async () => {
    const { root } = await verify();
    const other = parseSignerKey(generateSignerKey('audit.corp.example'));
    const note = signNote(formatCheckpoint({ origin: 'audit.corp.example', size: 1000, root }), other);
    tamper('checkpoint', () => Buffer.from(note));
    await expect(verify()).rejects.toThrow(
      coded('checkpoint_untrusted', /not signed by audit\.corp\.example/),
    );
  });

  it('a truncated log, against a checkpoint that is trusted', async () => {
    const trusted = await verify();
    directory = mkdtempSync(join(tmpdir(), 'atb-log-'));
    await publish(900);
    await verify();
    await expect(verify({ trusted })).rejects.toThrow(coded('audit_log_malformed', /truncated.*1000.*900/));
  });

  it("a forked log, signed with the log's own key, against a checkpoint that is trusted", async () => {
    const trusted = await verify();
    directory = mkdtempSync(join(tmpdir(), 'atb-log-'));
    const forked = (index: number) => (index === 700 ? Buffer.from('nothing happened') : entry(index));
    await publisher(leavesOf(1100, forked)).publish();
    await verify();
    await expect(verify({ trusted })).rejects.toThrow(coded('audit_log_malformed', /forked.*1000/));
  });

  it("a root that is not over the entries, signed with the log's own key", async () => {
    const note = signNote(
      formatCheckpoint({ origin: 'audit.corp.example', size: 1000, root: hashLeaf(Buffer.from('x')) }),
      signer,
    );
    tamper('checkpoint', () => Buffer.from(note));
    await expect(verify()).rejects.toThrow(coded('audit_log_malformed', /forked/));
  });
});

describe('what is trusted already', () => {
  it('is extended by a log that never published at that size', async () => {
    const trusted = await publish(768);
    directory = mkdtempSync(join(tmpdir(), 'atb-log-'));
    await publisher(leavesOf(1300), 5000).publish();
    const seen: number[] = [];
    await verify({ trusted: trusted!, onEntry: (_, index) => seen.push(index) });
    expect(seen[0]).toBe(768);
  });

  it('is told of entries only that the checkpoint is over, to go on from there', async () => {
    const size = 65_600;
    await publisher(leavesOf(size), size).publish();
    const honest = readFileSync(at('checkpoint'));
    const told: number[] = [];
    const onProgress = ({ size: verified }: { readonly size: number }) => told.push(verified);
    await verify({ onProgress });
    expect(told).toEqual([65_536, size]);
    told.length = 0;
    directory = mkdtempSync(join(tmpdir(), 'atb-log-'));
    const forked = (index: number) => (index === 700 ? Buffer.from('nothing happened') : entry(index));
    await publisher(leavesOf(size, forked), size).publish();
    tamper('checkpoint', () => honest);
    await expect(verify({ onProgress })).rejects.toThrow(coded('audit_log_malformed', /forked/));
    expect(told).toEqual([]);
  });
});

describe('whoever hands over a hostile log', () => {
  beforeEach(() => publish(300));

  it.each<[string, () => void, RegExp]>([
    [
      'an empty folder',
      () => {
        rmSync(at('checkpoint'), { force: true });
      },
      /no checkpoint/,
    ],
    [
      'an empty checkpoint',
      () => {
        tamper('checkpoint', () => Buffer.alloc(0));
      },
      /blank line/,
    ],
    [
      'a bundle that is missing',
      () => {
        rmSync(at(bundlePath(0, 256)), { force: true });
      },
      /entries\/000 is missing/,
    ],
    [
      'a bundle cut off',
      () => {
        tamper(bundlePath(0, 256), (bytes) => bytes.subarray(0, 99));
      },
      /ends within an entry/,
    ],
    [
      'a tile cut off',
      () => {
        tamper(tilePath({ level: 0, index: 0, width: 256 }), (b) => b.subarray(1));
      },
      /bytes long/,
    ],
    [
      'a gigantic checkpoint',
      () => {
        chmodSync(at('checkpoint'), 0o644);
        truncateSync(at('checkpoint'), 2 ** 40);
      },
      /more than/,
    ],
    [
      'a gigantic bundle',
      () => {
        chmodSync(at(bundlePath(0, 256)), 0o644);
        truncateSync(at(bundlePath(0, 256)), 2 ** 40);
      },
      /more than/,
    ],
    [
      'a pipe for a checkpoint that nobody writes to',
      () => {
        rmSync(at('checkpoint'), { force: true });
        execFileSync('mkfifo', [at('checkpoint')]);
      },
      /no file/,
    ],
    [
      'a device for a checkpoint',
      () => {
        rmSync(at('checkpoint'), { force: true });
        symlinkSync('/dev/zero', at('checkpoint'));
      },
      /no file/,
    ],
  ])('gets a clear refusal for %s', async (_, change, message) => {
    change();
    await expect(verify()).rejects.toThrow(message);
  });

  it('gets nothing by a size that nobody can read', async () => {
    const note = signNote(
      formatCheckpoint({ origin: 'a', size: Number.MAX_SAFE_INTEGER, root: hashLeaf(Buffer.from('x')) }),
      signer,
    );
    tamper('checkpoint', () => Buffer.from(note));
    await expect(verify()).rejects.toThrow(coded('audit_log_malformed'));
  });
});

describe('atb audit verify, with hostile files in its hands', () => {
  const atb = async (...argv: string[]) => {
    const { exit, out, err } = await atbIn(directory, argv);
    return { exitCode: exit, stdout: out, stderr: err };
  };
  const verifyLogAt = (log: string, ...options: string[]) =>
    atb('audit', 'verify', '--log', log, '--vkey', signer.vkey, ...options);
  beforeEach(() => publish(300));

  it.each(['--trusted', '--state', '--vkey', '--witness', '--tsa', 'proof', 'evidence'])(
    'ends at once, with a code and a reason, where %s names one',
    async (option) => {
      const gigantic = at('gigantic');
      writeFileSync(gigantic, '');
      truncateSync(gigantic, 2 ** 40);
      execFileSync('mkfifo', [at('pipe')]);
      writeFileSync(at('empty'), '');
      writeFileSync(at('junk'), Buffer.from([0, 255, 13, 10, 128]));
      writeFileSync(at('trust.pem'), '');
      const with_ = (file: string) =>
        option === 'proof'
          ? atb('audit', 'check', file, '--vkey', signer.vkey)
          : option === 'evidence'
            ? atb('verify', file, '--vkey', signer.vkey, '--ca', at('trust.pem'))
            : atb(...['audit', 'verify', '--log', directory, '--vkey', signer.vkey, option, file]);
      const before = process.memoryUsage().rss;
      for (const file of [gigantic, at('pipe'), '/dev/zero', directory, at('empty'), at('junk')]) {
        const { exitCode, stderr } = await with_(file);
        expect([1, 64]).toContain(exitCode);
        expect(stderr).toMatch(/\w/);
        expect(stderr).not.toMatch(/\n\s+at /);
      }
      expect(process.memoryUsage().rss - before).toBeLessThan(200 * 1_048_576);
    },
  );

  it('holds a log against the checkpoint that is trusted, also where an earlier run got further without it', async () => {
    const trusted = at('trusted');
    cpSync(at('checkpoint'), trusted);
    const forked = mkdtempSync(join(directory, 'forked-'));
    const store = new LogDirectory(forked);
    const leaves = leavesOf(400, (index) => (index === 7 ? Buffer.from('nothing happened') : entry(index)));
    await new LogPublisher({ leaves, store, signer, checkpointEntries: 1000 }).publish();
    const state = at('state');
    expect((await verifyLogAt(forked, '--state', state)).exitCode).toBe(0);
    expect(await verifyLogAt(forked, '--state', state, '--trusted', trusted)).toMatchObject({
      exitCode: 1,
      stdout: '',
      stderr: expect.stringMatching(/forked.*300/) as string,
    });
    await publish(400);
    const honest = at('honest-state');
    expect((await verifyLogAt(directory, '--state', honest)).exitCode).toBe(0);
    expect((await verifyLogAt(directory, '--state', honest, '--trusted', trusted)).exitCode).toBe(0);
  });

  it('says so where it cannot keep how far it got', async () => {
    expect(await verifyLogAt(directory, '--state', at('nowhere/state'))).toMatchObject({
      exitCode: 64,
      stderr: expect.stringContaining('cannot be written') as string,
    });
  });

  const nested = `{"id":"a","type":"b","x":${'['.repeat(30_000)}${']'.repeat(30_000)}}`;
  it.each<[string, Buffer]>([
    ['nested without an end', Buffer.from(nested)],
    ['with bytes that are no UTF-8', Buffer.from('{"id":"\xff","type":"b"}', 'latin1')],
    ['with half of a pair', Buffer.from('{"id":"\\ud800","type":"b"}')],
  ])('refuses an event %s, and proves it as what it is', async (_, leaf) => {
    const log = mkdtempSync(join(directory, 'log-'));
    const store = new LogDirectory(log);
    await new LogPublisher({
      ...{ leaves: leavesOf(2, () => leaf), store, signer, checkpointEntries: 9 },
    }).publish();
    expect(await verifyLogAt(log, '--events')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('entry 0 is') as string,
    });
    expect((await verifyLogAt(log)).exitCode).toBe(0);
    const proof = await atb('audit', 'prove', '1', '--log', log, '--vkey', signer.vkey);
    expect(proof.exitCode).toBe(0);
    writeFileSync(at('proof'), proof.stdout);
    for (const json of [[], ['--json']]) {
      expect((await atb('audit', 'check', at('proof'), '--vkey', signer.vkey, ...json)).exitCode).toBe(0);
    }
    expect((await atb('audit', 'prove', 'a', '--log', log, '--vkey', signer.vkey)).exitCode).toBe(1);
  });
});

describe('the log over PostgreSQL', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await TestDatabase.start({ fsync: 'off' });
    await migrate(database.url);
  });
  afterAll(() => database.stop());

  it('seals what the ledger recorded, and survives a copy of the folder', async () => {
    const ledger = new PostgresLedger(database.serviceUrl);
    const leaves = new PostgresAuditLeaves(database.serviceUrl);
    try {
      const ids = Array.from({ length: 300 }, () => randomUUID());
      await Promise.all(ids.map((id) => ledger.append(anEvent('poa_denied', id))));
      await publisher(leaves).publish();
      await ledger.append(anEvent('poa_denied', randomUUID()));
      await publisher(leaves).publish();
      const types = new Set<unknown>();
      const copy = mkdtempSync(join(tmpdir(), 'atb-log-copy-'));
      cpSync(directory, copy, { recursive: true });
      const checkpoint = await verifyLog(new LogReader(new LogDirectory(copy)), {
        keys: [signer],
        onEntry: (leaf) => types.add((JSON.parse(Buffer.from(leaf).toString()) as { type: unknown }).type),
      });
      rmSync(copy, { recursive: true, force: true });
      expect(checkpoint.size).toBe(await leaves.size());
      expect(checkpoint.size).toBeGreaterThanOrEqual(301);
      expect(types).toContain('poa_denied');
    } finally {
      await ledger.end();
      await leaves.end();
    }
  });
});
