import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LogBucket } from '../../adapters/audit-log/log-bucket';
import { LogDirectory } from '../../adapters/audit-log/log-directory';
import { LogPublisher } from '../../adapters/audit-log/log-publisher';
import { LogReader } from '../../adapters/audit-log/log-reader';
import { generateSignerKey, parseSignerKey } from '../../adapters/audit-log/note-key';
import {
  parseTimestampAuthorities,
  requestTimestamp,
  verifyTimestamp,
} from '../../adapters/audit-log/timestamp';
import type { TimestampAuthorities } from '../../adapters/audit-log/timestamp';
import { PostgresLedger } from '../../adapters/postgres/ledger';
import { migrate } from '../../adapters/postgres/schema';
import { logConfiguration } from '../../apps/log/configuration';
import { startLog } from '../../apps/log/log';
import { formatCheckpoint } from '../../domain/checkpoint';
import { tilePath } from '../../domain/log-tile';
import { hashLeaf } from '../../domain/merkle-tree';
import { formatNote, parseNote, signNote } from '../../domain/signed-note';
import { runAtb } from '../support/atb';
import { TestDatabase } from '../support/database';
import { entry, leavesOf } from '../support/leaves';
import { anEvent } from '../support/ledger-contract';
import { ObjectStore } from '../support/object-store';
import { TimestampAuthority } from '../support/timestamp-authority';

const key = generateSignerKey('audit.corp.example');
const signer = parseSignerKey(key);
const root = hashLeaf(Buffer.from('x'));
const TEXT = formatCheckpoint({ origin: 'audit.corp.example', size: 7, root });
const NOTE = signNote(TEXT, signer);
const coded = (code: string, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) as string }) as Error;

/** The signer of these tests' authority. */
const hasOpenssl = spawnSync('openssl', ['version']).status === 0;

(hasOpenssl ? describe : describe.skip)('a time-stamped checkpoint', () => {
  let authority: TimestampAuthority;
  let trusted: TimestampAuthorities;
  const trustedBy = ({ certificateFile }: TimestampAuthority) =>
    parseTimestampAuthorities(readFileSync(certificateFile, 'utf8'));

  beforeAll(async () => {
    authority = await TimestampAuthority.start();
    trusted = trustedBy(authority);
  });
  afterAll(() => authority.stop());
  afterEach(() => {
    authority.misbehave = undefined;
  });

  const stamped = async () => {
    const stamp = await requestTimestamp(TEXT, authority.url, trusted);
    const { text, signatures } = parseNote(Buffer.from(NOTE));
    return { stamp, note: Buffer.from(formatNote({ text, signatures: [...signatures, stamp] })) };
  };

  it('says when it was there, by the word of the authority', async () => {
    // In whole seconds, rounded down.
    const before = Math.floor(Date.now() / 1000) * 1000;
    const { note } = await stamped();
    const { time, authority: name } = await verifyTimestamp(note, trusted);
    expect([time.getTime() >= before, time.getTime() <= Date.now()]).toEqual([true, true]);
    expect(name).toBe(new URL(authority.url).host);
  });

  it('is nothing with a byte of the token changed, or over another text', async () => {
    const { stamp, note } = await stamped();
    const changedAt = async (at: number) => {
      const signature = Buffer.from(stamp.signature);
      signature[at] = (signature[at] ?? 0) ^ 1;
      const forged = formatNote({ text: TEXT, signatures: [{ ...stamp, signature }] });
      return verifyTimestamp(Buffer.from(forged), trusted).then(
        (held) => ({ at, held }),
        (error: unknown) => error,
      );
    };
    const { time } = await verifyTimestamp(note, trusted);
    // What is not signed, such as a parameter of an algorithm, may change; the time and the text never.
    for (let at = 0; at < stamp.signature.length; at += 3) {
      const outcome = await changedAt(at);
      if (outcome instanceof Error) expect(outcome).toMatchObject({ code: 'checkpoint_untrusted' });
      else expect((outcome as { held: { time: Date } }).held.time).toEqual(time);
    }
    const other = formatNote({ text: TEXT.replace('7', '8'), signatures: [stamp] });
    await expect(verifyTimestamp(Buffer.from(other), trusted)).rejects.toThrow(
      coded('checkpoint_untrusted', /over another text/),
    );
    await expect(verifyTimestamp(Buffer.from(NOTE), trusted)).rejects.toThrow(
      coded('checkpoint_untrusted', /no time-stamp/),
    );
  });

  it('is nothing by an authority that nobody named, or by a certificate for something else', async () => {
    const { stamp, note } = await stamped();
    const other = await TimestampAuthority.start();
    try {
      await expect(verifyTimestamp(note, trustedBy(other))).rejects.toThrow(
        coded('checkpoint_untrusted', /does not hold/),
      );
      await expect(requestTimestamp(TEXT, other.url, trusted)).rejects.toThrow(
        coded('audit_unavailable', /did not stamp/),
      );
      const signature = await authority.signedAsServer(stamp.signature);
      const byServer = formatNote({ text: TEXT, signatures: [{ ...stamp, signature }] });
      await expect(verifyTimestamp(Buffer.from(byServer), trusted)).rejects.toThrow(
        coded('checkpoint_untrusted', /not for time-stamping/),
      );
    } finally {
      await other.stop();
    }
  });

  it('is not to be had with the answer to another request', async () => {
    let earlier: Buffer | undefined;
    authority.misbehave = (response, honest) => {
      response.end((earlier ??= honest));
    };
    await requestTimestamp(TEXT, authority.url, trusted);
    await expect(requestTimestamp(TEXT, authority.url, trusted)).rejects.toThrow(
      coded('audit_unavailable', /another request/),
    );
  });

  it.each<[string, (response: ServerResponse) => void]>([
    ['nothing', (response) => response.end()],
    ['junk', (response) => response.end('junk')],
    ['an error', (response) => response.writeHead(503).end()],
    ['without end', (response) => response.end(Buffer.alloc(1_000_000))],
    ['that it is elsewhere', (response) => response.writeHead(307, { location: '/' }).end()],
  ])('is not to be had where the authority answers %s', async (_, misbehave) => {
    authority.misbehave = misbehave;
    await expect(requestTimestamp(TEXT, authority.url, trusted)).rejects.toThrow(
      coded('audit_unavailable', /did not stamp/),
    );
  });

  it.each(['', 'junk', '-----BEGIN CERTIFICATE-----\njunk\n-----END CERTIFICATE-----\n'])(
    'is not believed by certificates that are none: %j',
    (pem) => {
      expect(() => parseTimestampAuthorities(pem)).toThrow(coded('configuration_invalid', /PEM/));
    },
  );

  it('does not date a log that was written anew since, with the old tiles left beside the new ones', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'atb-log-'));
    const publish = (name: string, size: number, leafOf = entry) =>
      new LogPublisher({
        ...{ leaves: leavesOf(size, leafOf), store: new LogDirectory(join(folder, name)) },
        ...{ signer, checkpointEntries: 100 },
      }).publish();
    const verify = (name: string) =>
      runAtb(
        [
          ...['audit', 'verify', '--log', join(folder, name), '--vkey', signer.vkey],
          ...['--tsa', authority.certificateFile],
        ],
        { environment: { ATB_STATE_DIR: folder } },
      );
    try {
      const { text, signatures } = parseNote((await publish('honest', 7))!.note);
      const stamp = await requestTimestamp(text, authority.url, trusted);
      const note = Buffer.from(formatNote({ text, signatures: [...signatures, stamp] }));
      await publish('honest', 20);
      await publish('anew', 20, (index) => Buffer.from(`rewritten ${index}`));
      for (const name of ['honest', 'anew']) {
        await new LogDirectory(join(folder, name)).replace('timestamp', note);
      }
      const tile = tilePath({ level: 0, index: 0, width: 7 });
      cpSync(join(folder, 'honest', tile), join(folder, 'anew', tile));
      expect(await verify('honest')).toMatchObject({
        exit: 0,
        out: expect.stringContaining('of which 7 were there') as string,
      });
      expect(await verify('anew')).toMatchObject({
        ...{ exit: 1, out: '' },
        err: expect.stringMatching(/forked.*7 entries/) as string,
      });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('is made by the running log, copied to its bucket, and found by atb audit verify --tsa', async () => {
    const store = await ObjectStore.start();
    const database = await TestDatabase.start({ fsync: 'off' });
    const folder = mkdtempSync(join(tmpdir(), 'atb-log-'));
    const at = (path: string) => join(folder, path);
    try {
      await migrate(database.url);
      writeFileSync(at('key'), key);
      writeFileSync(at('database'), database.serviceUrl);
      const mirror = `s3://${await store.bucket()}/audit`;
      const log = await startLog(
        logConfiguration({
          ...store.environment,
          ATB_DATABASE_URL_FILE: at('database'),
          ATB_LOG_KEY_FILE: at('key'),
          ATB_LOG_DIR: at('log'),
          ATB_LOG_MIRROR: mirror,
          ATB_LOG_MIRROR_SECONDS: '1',
          ATB_LOG_TSA_URL: authority.url,
          ATB_LOG_TSA_CERT_FILE: authority.certificateFile,
          ATB_LOG_TSA_SECONDS: '1',
        }),
        () => undefined,
      );
      const ledger = new PostgresLedger(database.serviceUrl);
      await ledger.append(anEvent('poa_denied', randomUUID()));
      await ledger.end();
      const bucket = await LogBucket.at(mirror, store.environment);
      while (!(await new LogReader(bucket).stamped([signer]))) await sleep(100);
      await log.stop();
      await log.ended;
      const verify = async (tsa: string, where: string) => {
        const environment = { ...store.environment, ATB_STATE_DIR: folder };
        const argv = ['audit', 'verify', '--log', where, '--vkey', signer.vkey, '--tsa', tsa];
        const { exit, out, err } = await runAtb(argv, { environment });
        return { exitCode: exit, stdout: out, stderr: err };
      };
      for (const where of [at('log'), mirror]) {
        expect(await verify(authority.certificateFile, where)).toMatchObject({
          exitCode: 0,
          stdout: expect.stringMatching(/of which \d+ were there at 20\d\d-/) as string,
        });
      }
      expect((await verify(at('key'), at('log'))).exitCode).toBe(64);
      // Stamped, signed, and not of this log's history.
      const forged = signNote(formatCheckpoint({ origin: 'audit.corp.example', size: 1, root }), signer);
      const stamp = await requestTimestamp(parseNote(Buffer.from(forged)).text, authority.url, trusted);
      const { text, signatures } = parseNote(Buffer.from(forged));
      const note = formatNote({ text, signatures: [...signatures, stamp] });
      await new LogDirectory(at('log')).replace('timestamp', Buffer.from(note));
      expect((await verify(authority.certificateFile, at('log'))).exitCode).toBe(1);
    } finally {
      await database.stop();
      await store.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
