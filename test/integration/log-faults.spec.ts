import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LogBucket } from '../../adapters/audit-log/log-bucket';
import { LogDirectory } from '../../adapters/audit-log/log-directory';
import { LogReader } from '../../adapters/audit-log/log-reader';
import { verifyLog } from '../../adapters/audit-log/log-verifier';
import { generateSignerKey, parseSignerKey } from '../../adapters/audit-log/note-key';
import { PostgresLedger } from '../../adapters/postgres/ledger';
import { migrate } from '../../adapters/postgres/schema';
import { logConfiguration } from '../../apps/log/configuration';
import { startLog } from '../../apps/log/log';
import type { Log } from '../../apps/log/log';
import { TestDatabase } from '../support/database';
import { FaultProxy } from '../support/fault-proxy';
import { anEvent } from '../support/ledger-contract';
import { ObjectStore } from '../support/object-store';

const key = generateSignerKey('audit.corp.example');
const signer = parseSignerKey(key);

let store: ObjectStore;
let proxy: FaultProxy;
let database: TestDatabase;
let ledger: PostgresLedger;
let folder: string;
let url: string;
let running: Log[] = [];
let troubles: string[] = [];

beforeAll(async () => {
  store = await ObjectStore.start();
  database = await TestDatabase.start({ fsync: 'off' });
  await migrate(database.url);
  ledger = new PostgresLedger(database.serviceUrl);
}, 300_000);
afterAll(async () => {
  await ledger.end();
  await database.stop();
  await store.stop();
});

beforeEach(async () => {
  proxy = await FaultProxy.to(store.port);
  folder = mkdtempSync(join(tmpdir(), 'atb-log-'));
  writeFileSync(join(folder, 'key'), key);
  writeFileSync(join(folder, 'database'), database.serviceUrl);
  url = `s3://${await store.bucket()}/audit`;
  troubles = [];
});
afterEach(async () => {
  await Promise.all(running.map((log) => log.stop()));
  running = [];
  await proxy.stop();
  rmSync(folder, { recursive: true, force: true });
});

const at = (path: string) => join(folder, path);

async function started(other: Record<string, string> = {}): Promise<Log> {
  const log = await startLog(
    logConfiguration({
      ...store.environment,
      AWS_ENDPOINT_URL_S3: proxy.url,
      ATB_DATABASE_URL_FILE: at('database'),
      ATB_LOG_KEY_FILE: at('key'),
      ATB_LOG_DIR: at('log'),
      ATB_LOG_CHECKPOINT_SECONDS: '1',
      ATB_LOG_MIRROR: url,
      ATB_LOG_MIRROR_SECONDS: '1',
      ...other,
    }),
    ({ message }) => troubles.push(message),
  );
  log.ended.catch((error: unknown) => troubles.push((error as Error).message));
  running.push(log);
  return log;
}

async function recorded(count: number, by = ledger): Promise<void> {
  await Promise.all(Array.from({ length: count }, () => by.append(anEvent('poa_denied', randomUUID()))));
}

const metric = async (log: Log, name: string) => {
  const { values } = (await log.metrics.getSingleMetric(name)?.get()) ?? { values: [] };
  return values[0]?.value ?? Number.NaN;
};
const sealedSize = (log: Log) => metric(log, 'atb_log_size');
const lag = (log: Log) => metric(log, 'atb_log_mirror_lag_events');
const recordedSize = () =>
  database.session(async (session) => {
    const { rows } = await session.query<{ n: string }>('SELECT count(*) AS n FROM audit_event');
    return Number(rows[0]?.n);
  });

async function until(what: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await what()); tries++) {
    if (tries > 600) throw new Error(`it did not come about: ${what.toString()}; ${troubles.join('; ')}`);
    await sleep(100);
  }
}

const isSealed = async (log: Log) => (await sealedSize(log)) === (await recordedSize());
const isCopied = async (log: Log) => (await metric(log, 'atb_log_mirrored_size')) === (await recordedSize());

/** Both verify from the outside, and are one log. */
async function requireWhole(): Promise<void> {
  const bucket = await LogBucket.at(url, store.environment);
  const [local, copy] = await Promise.all(
    [new LogDirectory(at('log')), bucket].map((from) => verifyLog(new LogReader(from), { keys: [signer] })),
  );
  expect(local?.size).toBe(await recordedSize());
  expect(copy).toEqual(local);
}

describe('the log and its copy', () => {
  it('are one, and the lag is told', async () => {
    const log = await started();
    await recorded(300);
    await until(() => isCopied(log));
    await until(() => isSealed(log));
    expect(await lag(log)).toBe(0);
    expect(await metric(log, 'atb_log_mirrored_timestamp_seconds')).toBeGreaterThan(Date.now() / 1000 - 60);
    await log.stop();
    await requireWhole();
  });

  it('go apart while the store is down, from the start on too: sealing goes on, and the copy follows', async () => {
    await store.down();
    const log = await started();
    await recorded(300);
    await until(() => isSealed(log));
    expect(log.isReady()).toBe(true);
    expect(await lag(log)).toBeGreaterThanOrEqual(300);
    await until(async () => (await metric(log, 'atb_log_mirror_rounds_failed_total')) > 1);
    expect(troubles.join()).toMatch(/the bucket .* did not answer/);
    await store.up();
    await until(() => isCopied(log));
    expect(await lag(log)).toBe(0);
    await log.stop();
    await requireWhole();
  });

  it('wait for nobody: a store that takes requests and answers none keeps no sealing back', async () => {
    const log = await started();
    await until(() => isCopied(log));
    proxy.hangs = true;
    await recorded(50);
    await until(() => isSealed(log));
    expect(await lag(log)).toBeGreaterThanOrEqual(50);
    proxy.hangs = false;
    await until(() => isCopied(log));
    await log.stop();
    await requireWhole();
  });

  it.each<[string, () => void]>([
    ['is slow', () => (proxy.delayMs = 300)],
    ['refuses one request in three', () => (proxy.refusesOneOf = 3)],
    ['takes one in three and loses the answer', () => (proxy.losesOneOf = 3)],
  ])('are one in the end where the store %s', async (_, fault) => {
    fault();
    const log = await started();
    await recorded(600);
    await until(() => isSealed(log));
    await until(() => isCopied(log));
    await log.stop();
    await requireWhole();
  });

  it('are one where two processes write both at once', async () => {
    const two = [await started(), await started()];
    for (let round = 0; round < 10; round++) {
      await recorded(60);
      await sleep(200);
    }
    for (const log of two) {
      await until(() => isSealed(log));
      await until(() => isCopied(log));
    }
    await Promise.all(two.map((log) => log.stop()));
    for (const log of two) await log.ended;
    await requireWhole();
  });

  it('are one over a clock that is moved back an hour', async () => {
    const log = await started();
    await recorded(10);
    const hourAgo = new Date(Date.now() - 3_600_000);
    await ledger.append(anEvent('poa_denied', randomUUID(), { time: hourAgo }));
    await until(() => isCopied(log));
    await recorded(10);
    await until(() => isCopied(log));
    await log.stop();
    await requireWhole();
  });
});

describe('the log does not start', () => {
  it.each<[string, Parameters<ObjectStore['bucket']>[0]]>([
    ['has no Object Lock', { lock: false }],
    ['locks in GOVERNANCE mode', { byDefault: 'GOVERNANCE' }],
  ])('where the bucket %s (attack 42)', async (_, options) => {
    url = `s3://${await store.bucket(options)}`;
    await expect(started()).rejects.toMatchObject({ code: 'object_lock_missing' });
  });
});

describe("after a restore from yesterday's backup", () => {
  it('of database and folder alike, nothing is signed and nothing copied: the log ends and says so', async () => {
    const log = await started();
    await recorded(20);
    await until(() => isCopied(log));
    await log.stop();
    await log.ended;
    const before = await recordedSize();
    // The database of another day: as the service sees it, another one with fewer events.
    const restored = await TestDatabase.start({ fsync: 'off' });
    try {
      await migrate(restored.url);
      const other = new PostgresLedger(restored.serviceUrl);
      await recorded(3, other);
      writeFileSync(at('database'), restored.serviceUrl);
      rmSync(at('log'), { recursive: true });
      const again = await started();
      await expect(again.ended).rejects.toMatchObject({
        code: 'audit_log_diverged',
        message: expect.stringMatching(/restored from an older copy/) as string,
      });
      await recorded(before, other);
      const grown = await started();
      await expect(grown.ended).rejects.toMatchObject({
        code: 'audit_log_diverged',
        message: expect.stringMatching(/another history/) as string,
      });
      expect(await new LogReader(new LogDirectory(at('log'))).checkpoint([signer])).toBeNull();
      await other.end();
    } finally {
      await restored.stop();
    }
    const copy = await verifyLog(new LogReader(await LogBucket.at(url, store.environment)), {
      keys: [signer],
    });
    expect(copy.size).toBe(before);
  });
});

describe('a disk without room', () => {
  const disk = () => at('disk');
  /** A file system of so many bytes of our own; who may not mount one has none. */
  const isMountable = (() => {
    const probe = mkdtempSync(join(tmpdir(), 'atb-disk-'));
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', probe], { stdio: 'ignore' });
      execFileSync('umount', [probe]);
      return true;
    } catch {
      return false;
    } finally {
      rmSync(probe, { recursive: true, force: true });
    }
  })();

  afterEach(() => {
    try {
      execFileSync('umount', [disk()], { stdio: 'ignore' });
    } catch {
      // It was not mounted.
    }
  });

  (isMountable ? it : it.skip)(
    'keeps the log from being sealed, not from being recorded, and costs nothing: with room it goes on',
    async () => {
      mkdirSync(disk());
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', disk()]);
      const log = await started({ ATB_LOG_DIR: join(disk(), 'log') });
      await until(() => Promise.resolve(troubles.length > 0 || log.isReady()));
      const isFull = () => troubles.some((message) => message.includes('the log cannot be written'));
      for (let round = 0; round < 40 && !isFull(); round++) {
        await recorded(200);
        await sleep(1_000);
      }
      expect([isFull(), troubles]).toEqual([true, expect.anything()]);
      expect(log.isReady()).toBe(false);
      const before = await sealedSize(log);
      await recorded(10);
      const stored = await new LogReader(new LogDirectory(join(disk(), 'log'))).checkpoint([signer]);
      expect(stored?.size ?? 0).toBeGreaterThanOrEqual(before);
      execFileSync('mount', ['-o', 'remount,size=64m', disk()]);
      await until(() => isSealed(log));
      await until(() => isCopied(log));
      await log.stop();
      const local = await verifyLog(new LogReader(new LogDirectory(join(disk(), 'log'))), { keys: [signer] });
      expect(local.size).toBe(await recordedSize());
      const note = readFileSync(join(disk(), 'log', 'checkpoint'));
      expect(await (await LogBucket.at(url, store.environment)).read('checkpoint', 1000)).toEqual(note);
    },
  );
});
