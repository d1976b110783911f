import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HeadObjectCommandOutput, ObjectVersion, PutObjectCommandInput, S3 } from '@aws-sdk/client-s3';
import { sha256 } from '../../domain/digest';
import { AtbError, isAtbError } from '../../domain/error';
import { CHECKPOINT_PATH, TIMESTAMP_PATH } from '../../domain/log-tile';
import type { ReplacedPath, WormStore } from '../../domain/ports';

const CONNECT_TIMEOUT_MS = 5_000;
const ANSWER_TIMEOUT_MS = 15_000;
/** For one operation with its repeats: a store that drips is a store that is down. */
const OPERATION_TIMEOUT_MS = 60_000;
const ATTEMPTS = 3;
const KEEP_TRIES = 4;
/** At most so long, by chance: two that met do not meet again. */
const KEEP_AGAIN_MS = 1_000;
/** Nobody but an intruder gives one name so many versions: a thousand a page. */
const MOST_VERSION_PAGES = 20;

const S3_URL = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/;
const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]']);

type Variables = Readonly<Record<string, string | undefined>>;

/**
 * A sealed log in an S3 bucket under Object Lock in COMPLIANCE mode, which nobody can lift, shorten or delete before its
 * time, whatever their rights (attack 42). A name that is there already is not written again; whoever may write to the
 * bucket can put another version or a delete marker over it, but the first version stays, and can be read.
 */
export class LogBucket implements WormStore {
  private constructor(
    private readonly client: S3,
    private readonly bucket: string,
    private readonly prefix: string,
  ) {}

  /**
   * `s3://bucket/prefix`. Region, endpoint and credentials come from where every S3 client looks for them: AWS_REGION,
   * AWS_ENDPOINT_URL_S3, and AWS_ACCESS_KEY_ID or AWS_SHARED_CREDENTIALS_FILE or the machine's role. Throws
   * `configuration_invalid`.
   */
  static async at(url: string, environment: Variables): Promise<LogBucket> {
    const [, bucket, path = ''] = S3_URL.exec(url) ?? [];
    if (bucket === undefined) throw new AtbError('configuration_invalid', `${url} is not s3://bucket/prefix`);
    const set = (name: string) => (environment[name] === '' ? undefined : environment[name]);
    const endpoint = set('AWS_ENDPOINT_URL_S3') ?? set('AWS_ENDPOINT_URL');
    const [accessKeyId, secretAccessKey] = [set('AWS_ACCESS_KEY_ID'), set('AWS_SECRET_ACCESS_KEY')];
    const sessionToken = set('AWS_SESSION_TOKEN');
    // Only now: the command line should not wait for it to load where it is not needed.
    const { S3: Client } = await import('@aws-sdk/client-s3');
    const client = new Client({
      region: set('AWS_REGION') ?? 'us-east-1',
      ...(endpoint && { endpoint: requireSafe(endpoint) }),
      // Every S3 understands it, and stores of one's own seldom have a name for each bucket.
      forcePathStyle: true,
      ...(accessKeyId &&
        secretAccessKey && {
          credentials: { accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) },
        }),
      maxAttempts: ATTEMPTS,
      requestHandler: {
        connectionTimeout: CONNECT_TIMEOUT_MS,
        requestTimeout: ANSWER_TIMEOUT_MS,
        throwOnRequestTimeout: true,
      },
    });
    const prefix = path.replace(/\/+$/, '');
    return new LogBucket(client, bucket, prefix === '' ? '' : `${prefix}/`);
  }

  async requireLock(): Promise<void> {
    const configuration = await this.asked('the object lock of the bucket', async (abortSignal) => {
      try {
        const answer = await this.client.getObjectLockConfiguration({ Bucket: this.bucket }, { abortSignal });
        return answer.ObjectLockConfiguration;
      } catch (error) {
        if (isStatus(error, 404)) return undefined;
        throw error;
      }
    });
    if (configuration?.ObjectLockEnabled !== 'Enabled') {
      throw unlocked(`the bucket ${this.bucket} does not exist, or was made without Object Lock`);
    }
    const mode = configuration.Rule?.DefaultRetention?.Mode;
    if (mode !== undefined && mode !== 'COMPLIANCE') {
      throw unlocked(
        `the bucket ${this.bucket} locks in ${mode} mode, which administrators can lift; it has to be COMPLIANCE`,
      );
    }
  }

  async read(path: string, mostBytes: number): Promise<Uint8Array | null> {
    return this.asked(path, async (abortSignal) => {
      const current = await this.version(path, undefined, mostBytes, abortSignal);
      if (current) return current;
      // Not there, or hidden by a delete marker: what is under lock is still to be had.
      const versions = await this.versions(path, abortSignal);
      const hidden = isReplaced(path) ? versions.at(0) : versions.at(-1);
      return hidden ? this.version(path, hidden.VersionId, mostBytes, abortSignal) : null;
    });
  }

  async create(path: string, bytes: Uint8Array, retainUntil: Date): Promise<void> {
    await untilKept(async () => {
      await this.put(path, bytes, retainUntil, { IfNoneMatch: '*' });
      await this.requireKept(path, bytes, retainUntil);
    });
  }

  async replace(path: ReplacedPath, bytes: Uint8Array, retainUntil: Date): Promise<void> {
    await untilKept(async () => {
      const versionId = await this.put(path, bytes, retainUntil, {});
      await this.requireKept(path, bytes, retainUntil, versionId);
    });
  }

  /** Answers the version that was written; none where `IfNoneMatch` found one. */
  private put(
    path: string,
    bytes: Uint8Array,
    retainUntil: Date,
    condition: Pick<PutObjectCommandInput, 'IfNoneMatch'>,
  ): Promise<string | undefined> {
    return this.asked(path, async (abortSignal) => {
      const put = {
        ...{ ...this.at(path), Body: bytes, ContentType: 'application/octet-stream' },
        // Whatever arrives changed is refused, and the sum is kept with it.
        ...{ ChecksumAlgorithm: 'SHA256' as const, ChecksumSHA256: base64(sha256(bytes)) },
        ...{ ObjectLockMode: 'COMPLIANCE' as const, ObjectLockRetainUntilDate: wholeSecond(retainUntil) },
        ...condition,
      };
      try {
        return (await this.client.putObject(put, { abortSignal })).VersionId;
      } catch (error) {
        // It was written before.
        if (condition.IfNoneMatch !== undefined && isStatus(error, 412)) return undefined;
        throw error;
      }
    });
  }

  /** Reads back what the store has: whether it is that, and for how long it stays. */
  private async requireKept(
    path: string,
    bytes: Uint8Array,
    retainUntil: Date,
    versionId?: string,
  ): Promise<void> {
    const kept = await this.head(path, versionId);
    const found = kept.ChecksumSHA256 ?? base64(sha256(await this.content(path, versionId, bytes.length)));
    if (found !== base64(sha256(bytes))) {
      throw new AtbError(
        'audit_log_diverged',
        `${path} was written to the bucket before, with other content`,
      );
    }
    if (isLockedUntil(kept, retainUntil)) return;
    // Written by a run that was told a shorter time, or put there without a lock: longer is always allowed.
    await this.asked(path, (abortSignal) =>
      this.client.putObjectRetention(
        {
          ...{ ...this.at(path), VersionId: versionId ?? kept.VersionId },
          Retention: { Mode: 'COMPLIANCE', RetainUntilDate: wholeSecond(retainUntil) },
        },
        { abortSignal },
      ),
    );
    if (!isLockedUntil(await this.head(path, versionId), retainUntil)) {
      throw unlocked(`the bucket took ${path}, but does not lock it until ${retainUntil.toISOString()}`);
    }
  }

  private head(path: string, versionId: string | undefined): Promise<HeadObjectCommandOutput> {
    const head = { ...this.at(path), ...(versionId && { VersionId: versionId }) };
    return this.asked(path, (abortSignal) =>
      this.client.headObject({ ...head, ChecksumMode: 'ENABLED' }, { abortSignal }),
    );
  }

  private async content(path: string, versionId: string | undefined, mostBytes: number): Promise<Uint8Array> {
    const content = await this.asked(path, (abortSignal) =>
      this.version(path, versionId, mostBytes, abortSignal),
    );
    return content ?? new Uint8Array();
  }

  private async version(
    path: string,
    versionId: string | undefined,
    mostBytes: number,
    abortSignal: AbortSignal,
  ): Promise<Uint8Array | null> {
    const transfer = () => this.transfer(path, versionId, mostBytes, abortSignal);
    try {
      return await transfer();
    } catch (error) {
      // The client asks again where no answer came, but not where one broke off, or was replaced while it was read and
      // does not have its checksum.
      if (isAtbError(error) || abortSignal.aborted) throw error;
      return transfer();
    }
  }

  private async transfer(
    path: string,
    versionId: string | undefined,
    mostBytes: number,
    abortSignal: AbortSignal,
  ): Promise<Uint8Array | null> {
    const get = { ...this.at(path), ...(versionId && { VersionId: versionId }) };
    try {
      const { Body: body } = await this.client.getObject(get, { abortSignal });
      const chunks: Uint8Array[] = [];
      let length = 0;
      for await (const chunk of body as AsyncIterable<Uint8Array>) {
        length += chunk.length;
        if (length > mostBytes)
          throw new AtbError('audit_log_malformed', `${path} is longer than ${mostBytes} bytes`);
        chunks.push(chunk);
      }
      return Buffer.concat(chunks);
    } catch (error) {
      if ((error as Error).name === 'NoSuchKey') return null;
      throw error;
    }
  }

  /** The versions of one name, the newest first. */
  private async versions(path: string, abortSignal: AbortSignal): Promise<readonly ObjectVersion[]> {
    const { Bucket, Key } = this.at(path);
    const found: ObjectVersion[] = [];
    let marker: { KeyMarker?: string | undefined; VersionIdMarker?: string | undefined } = {};
    for (let page = 0; page < MOST_VERSION_PAGES; page++) {
      const list = { Bucket, Prefix: Key, ...marker };
      const answer = await this.client.listObjectVersions(list, { abortSignal });
      found.push(...(answer.Versions ?? []).filter((version) => version.Key === Key));
      // In the order of names: what follows is of longer ones.
      if (!answer.IsTruncated || answer.NextKeyMarker !== Key) return found;
      marker = { KeyMarker: answer.NextKeyMarker, VersionIdMarker: answer.NextVersionIdMarker };
    }
    throw new AtbError('audit_log_malformed', `${path} has more versions than anybody can read`);
  }

  private at(path: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.bucket, Key: `${this.prefix}${path}` };
  }

  private async asked<T>(what: string, ask: (abortSignal: AbortSignal) => Promise<T>): Promise<T> {
    try {
      return await ask(AbortSignal.timeout(OPERATION_TIMEOUT_MS));
    } catch (cause) {
      if (isAtbError(cause)) throw cause;
      const { name, code } = cause as NodeJS.ErrnoException;
      throw new AtbError(
        'audit_unavailable',
        `the bucket ${this.bucket} did not answer for ${what}: ${code ?? name}`,
        { cause },
      );
    }
  }
}

/**
 * Writes once more where the store did not keep it so: where two logs write one name at once, after a failover, some
 * stores mix up the locks and sums of their versions, for good.
 */
async function untilKept(write: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await write();
      return;
    } catch (error) {
      if (tries === KEEP_TRIES || !isAtbError(error) || error.code === 'audit_unavailable') throw error;
    }
    await sleep(randomInt(KEEP_AGAIN_MS));
  }
}

function isReplaced(path: string): boolean {
  return path === CHECKPOINT_PATH || path === TIMESTAMP_PATH;
}

/** Signatures of S3 do not hide what is sent, nor who sends it. */
function requireSafe(endpoint: string): string {
  const { protocol, hostname } = URL.canParse(endpoint) ? new URL(endpoint) : { protocol: '', hostname: '' };
  if (protocol === 'https:' || (protocol === 'http:' && LOOPBACK.has(hostname))) return endpoint;
  throw new AtbError('configuration_invalid', `${endpoint} is no https: URL, nor one of this machine`);
}

function isLockedUntil(kept: HeadObjectCommandOutput, retainUntil: Date): boolean {
  const { ObjectLockMode: mode, ObjectLockRetainUntilDate: until } = kept;
  return mode === 'COMPLIANCE' && until !== undefined && until >= wholeSecond(retainUntil);
}

/** S3 keeps whole seconds; no second less than was asked. */
function wholeSecond(time: Date): Date {
  return new Date(Math.ceil(time.getTime() / 1_000) * 1_000);
}

function isStatus(error: unknown, status: number): boolean {
  const { $metadata: answer } = error as { readonly $metadata?: { readonly httpStatusCode?: number } };
  return answer?.httpStatusCode === status;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

function unlocked(why: string): AtbError {
  return new AtbError('object_lock_missing', why);
}
