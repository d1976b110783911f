import {
  DeleteBucketCommand,
  DeleteObjectCommand,
  HeadObjectCommand,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  PutObjectRetentionCommand,
} from '@aws-sdk/client-s3';
import { LogBucket } from '../../adapters/audit-log/log-bucket';
import { FaultProxy } from '../support/fault-proxy';
import { ObjectStore } from '../support/object-store';

const PATH = 'tile/entries/000';
const SEVEN_YEARS = new Date('2033-11-26T04:30:00.250Z');
const LONGER = new Date('2034-01-01T00:00:00Z');
const bytes = Buffer.from('what was sealed');
const other = Buffer.from('what was not');

let store: ObjectStore;
beforeAll(async () => {
  store = await ObjectStore.start();
}, 300_000);
afterAll(() => store.stop());

let bucket: string;
let log: LogBucket;
beforeEach(async () => {
  bucket = await store.bucket();
  log = await LogBucket.at(`s3://${bucket}/audit`, store.environment);
});

const object = (path = PATH) => ({ Bucket: bucket, Key: `audit/${path}` });
const versions = async (path = PATH) => {
  const { Key, Bucket } = object(path);
  return (await store.owner.send(new ListObjectVersionsCommand({ Bucket, Prefix: Key }))).Versions ?? [];
};
const head = () => store.owner.send(new HeadObjectCommand(object()));
const coded = (code: string, message?: RegExp) =>
  expect.objectContaining({
    code,
    ...(message && { message: expect.stringMatching(message) as string }),
  }) as Error;

describe('what is in the bucket', () => {
  it('is what was written, once, and answers null for what is not there', async () => {
    expect(await log.read(PATH, 100)).toBeNull();
    await log.create(PATH, bytes, SEVEN_YEARS);
    await log.create(PATH, bytes, SEVEN_YEARS);
    expect(await log.read(PATH, 100)).toEqual(bytes);
    expect(await versions()).toHaveLength(1);
    await expect(log.create(PATH, other, SEVEN_YEARS)).rejects.toThrow(coded('audit_log_diverged', /other/));
    expect(await log.read(PATH, 100)).toEqual(bytes);
    await expect(log.read(PATH, 5)).rejects.toThrow(coded('audit_log_malformed', /longer than 5/));
  });

  it('is read again where its transfer breaks off, once: then the bucket does not answer', async () => {
    await log.create(PATH, bytes, SEVEN_YEARS);
    const proxy = await FaultProxy.to(store.port);
    const behind = await LogBucket.at(`s3://${bucket}/audit`, {
      ...store.environment,
      AWS_ENDPOINT_URL_S3: proxy.url,
    });
    try {
      proxy.breakingOff = 1;
      expect(await behind.read(PATH, 100)).toEqual(bytes);
      proxy.breakingOff = 2;
      await expect(behind.read(PATH, 100)).rejects.toThrow(coded('audit_unavailable', /did not answer/));
      expect(proxy.breakingOff).toBe(0);
    } finally {
      await proxy.stop();
    }
  });

  it('is written by two at once, once', async () => {
    await Promise.all([1, 2, 3, 4].map(() => log.create(PATH, bytes, SEVEN_YEARS)));
    expect(await versions()).toHaveLength(1);
  });

  it('is kept under lock whatever the store mixes up where two write the last checkpoint at once', async () => {
    const two = [log, await LogBucket.at(`s3://${bucket}/audit`, store.environment)];
    await Promise.all(
      two.map(async (writer, which) => {
        for (let round = 0; round < 400; round++) {
          await writer.replace('checkpoint', Buffer.from(`${which} ${round}`), SEVEN_YEARS);
        }
      }),
    );
    expect((await log.read('checkpoint', 100))?.toString()).toMatch(/^[01] 399$/);
  });

  it('is locked to the second that it was to be kept until, at the least', async () => {
    await log.create(PATH, bytes, SEVEN_YEARS);
    const { ObjectLockMode: mode, ObjectLockRetainUntilDate: until } = await head();
    expect([mode, until]).toEqual(['COMPLIANCE', new Date('2033-11-26T04:30:01Z')]);
    await log.create(PATH, bytes, LONGER);
    expect((await head()).ObjectLockRetainUntilDate).toEqual(LONGER);
    await log.create(PATH, bytes, SEVEN_YEARS);
    expect((await head()).ObjectLockRetainUntilDate).toEqual(LONGER);
  });

  it('gets its lock where it lay there without one', async () => {
    await store.owner.send(new PutObjectCommand({ ...object(), Body: bytes }));
    await log.create(PATH, bytes, SEVEN_YEARS);
    expect((await head()).ObjectLockMode).toBe('COMPLIANCE');
  });

  it('keeps every checkpoint below the last one', async () => {
    for (const note of ['one', 'two', 'two']) await log.replace('checkpoint', Buffer.from(note), SEVEN_YEARS);
    expect(await log.read('checkpoint', 100)).toEqual(Buffer.from('two'));
    const kept = await versions('checkpoint');
    expect(kept).toHaveLength(3);
    for (const { VersionId } of kept) {
      await expect(
        store.owner.send(new DeleteObjectCommand({ ...object('checkpoint'), VersionId })),
      ).rejects.toThrow();
    }
  });
});

describe('the owner of the store, with all rights (attack 42)', () => {
  let VersionId: string | undefined;
  beforeEach(async () => {
    await log.create(PATH, bytes, SEVEN_YEARS);
    VersionId = (await head()).VersionId;
  });
  const retention = (Mode: 'COMPLIANCE' | 'GOVERNANCE', RetainUntilDate: Date) =>
    new PutObjectRetentionCommand({
      ...{ ...object(), VersionId, BypassGovernanceRetention: true },
      Retention: { Mode, RetainUntilDate },
    });

  it.each([
    ['delete it', () => new DeleteObjectCommand({ ...object(), VersionId })],
    [
      'delete it by the right to bypass',
      () => new DeleteObjectCommand({ ...object(), VersionId, BypassGovernanceRetention: true }),
    ],
    ['shorten its time', () => retention('COMPLIANCE', new Date('2027-01-01T00:00:00Z'))],
    ['lower its mode', () => retention('GOVERNANCE', SEVEN_YEARS)],
    ['delete the bucket', () => new DeleteBucketCommand({ Bucket: bucket })],
    [
      'stop the versions',
      () =>
        new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: 'Suspended' } }),
    ],
  ])('cannot %s', async (_, command) => {
    await expect(store.owner.send(command() as DeleteObjectCommand)).rejects.toMatchObject({
      $metadata: { httpStatusCode: expect.any(Number) as number },
    });
    expect(await log.read(PATH, 100)).toEqual(bytes);
    expect(await versions()).toHaveLength(1);
  });

  it('cannot hide it: under a delete marker it is read all the same', async () => {
    await store.owner.send(new DeleteObjectCommand(object()));
    expect(await log.read(PATH, 100)).toEqual(bytes);
    await log.replace('checkpoint', bytes, SEVEN_YEARS);
    await log.replace('checkpoint', other, SEVEN_YEARS);
    await store.owner.send(new DeleteObjectCommand(object('checkpoint')));
    expect(await log.read('checkpoint', 100)).toEqual(other);
  });
});

describe('a bucket that does not hold', () => {
  it.each<[string, Parameters<ObjectStore['bucket']>[0], RegExp]>([
    ['was made without Object Lock', { lock: false }, /without Object Lock/],
    [
      'locks in GOVERNANCE mode',
      { byDefault: 'GOVERNANCE' },
      /GOVERNANCE mode, which administrators can lift/,
    ],
  ])('is refused where it %s (attack 42)', async (_, options, message) => {
    const url = `s3://${await store.bucket(options)}/audit`;
    const log = await LogBucket.at(url, store.environment);
    await expect(log.requireLock()).rejects.toThrow(coded('object_lock_missing', message));
  });

  it('is refused where there is none', async () => {
    const log = await LogBucket.at('s3://nowhere', store.environment);
    await expect(log.requireLock()).rejects.toThrow(coded('object_lock_missing', /does not exist/));
  });

  it('is taken with no lock of its own for each object, or one in COMPLIANCE mode', async () => {
    await log.requireLock();
    const url = `s3://${await store.bucket({ byDefault: 'COMPLIANCE' })}`;
    await (await LogBucket.at(url, store.environment)).requireLock();
  });

  it.each(['s3://', 's3://a', 'https://bucket', 's3://UPPER/x', 's3://bucket:9/x'])(
    '%s is no bucket',
    async (url) => {
      await expect(LogBucket.at(url, store.environment)).rejects.toThrow(coded('configuration_invalid'));
    },
  );

  it.each(['http://s3.example', 'ftp://127.0.0.1', 'nothing'])('is not asked at %s', async (endpoint) => {
    const environment = { ...store.environment, AWS_ENDPOINT_URL_S3: endpoint };
    await expect(LogBucket.at('s3://bucket', environment)).rejects.toThrow(
      coded('configuration_invalid', /https/),
    );
  });

  it('says so, without the credentials, where it does not know us or is away', async () => {
    const secret = 'wrong-secret-of-ours';
    const stranger = await LogBucket.at(`s3://${bucket}`, {
      ...store.environment,
      AWS_SECRET_ACCESS_KEY: secret,
    });
    const refused = await stranger.read(PATH, 100).catch((error: unknown) => error as Error);
    expect(refused).toMatchObject({
      code: 'audit_unavailable',
      message: expect.stringContaining('SignatureDoesNotMatch') as string,
    });
    expect((refused as Error).message).not.toContain(secret);
    const nobody = { ...store.environment, AWS_ENDPOINT_URL_S3: 'http://127.0.0.1:9' };
    const away = await LogBucket.at('s3://bucket', nobody);
    await expect(away.create(PATH, bytes, SEVEN_YEARS)).rejects.toThrow(coded('audit_unavailable'));
  });
});
