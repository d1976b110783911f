import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, PutObjectLockConfigurationCommand, S3Client } from '@aws-sdk/client-s3';
import type { ObjectLockRetentionMode } from '@aws-sdk/client-s3';
import { obtainExecutable } from '../../adapters/process/executable';
import { startServerProcess } from '../../adapters/process/server-process';
import type { ServerProcess } from '../../adapters/process/server-process';
import { freePort } from './database';

/** A real S3 server with versions and Object Lock, over a folder of a test's own. */
export class ObjectStore {
  private server: ServerProcess | undefined;
  /** With the account that owns everything: what it cannot do, no administrator can. */
  readonly owner: S3Client;
  /** What a process is told to find it. */
  readonly environment: Readonly<Record<string, string>>;

  private constructor(
    private readonly executable: string,
    private readonly directory: string,
    readonly port: number,
  ) {
    const [accessKeyId, secretAccessKey] = ['owner', randomBytes(16).toString('hex')] as const;
    this.environment = {
      AWS_ENDPOINT_URL_S3: `http://127.0.0.1:${port}`,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
    };
    this.owner = new S3Client({
      ...{ endpoint: `http://127.0.0.1:${port}`, region: 'us-east-1', forcePathStyle: true },
      credentials: { accessKeyId, secretAccessKey },
    });
  }

  static async start(): Promise<ObjectStore> {
    const directory = await mkdtemp(join(tmpdir(), 'atb-objects-'));
    for (const folder of ['objects', 'versions', 'metadata']) await mkdir(join(directory, folder));
    const store = new ObjectStore(await obtainExecutable('versitygw'), directory, await freePort());
    await store.up();
    return store;
  }

  get pid(): number {
    return this.server?.pid ?? 0;
  }

  /** Starts it again on what is there. */
  async up(): Promise<void> {
    const { AWS_ACCESS_KEY_ID: access = '', AWS_SECRET_ACCESS_KEY: secret = '' } = this.environment;
    const at = (folder: string) => join(this.directory, folder);
    this.server = await startServerProcess({
      title: 'the object store',
      command: this.executable,
      args: [
        ...['--port', `127.0.0.1:${this.port}`, '--quiet', '--keep-alive', 'posix'],
        ...['--versioning-dir', at('versions'), '--sidecar', at('metadata'), at('objects')],
      ],
      logFile: at('log'),
      env: { PATH: process.env.PATH, ROOT_ACCESS_KEY_ID: access, ROOT_SECRET_ACCESS_KEY: secret },
      stopSignal: 'SIGTERM',
      isHealthy: async () => {
        await fetch(`http://127.0.0.1:${this.port}/`);
      },
      healthyWithinMs: 60_000,
    });
  }

  /** It is out of reach from here on. */
  async down(): Promise<void> {
    await this.server?.stop();
    this.server = undefined;
  }

  async bucket(
    options: { readonly lock?: boolean; readonly byDefault?: ObjectLockRetentionMode } = {},
  ): Promise<string> {
    const Bucket = `log-${randomBytes(6).toString('hex')}`;
    const { lock = true, byDefault } = options;
    await this.owner.send(new CreateBucketCommand({ Bucket, ObjectLockEnabledForBucket: lock }));
    if (byDefault) {
      const ObjectLockConfiguration = {
        ObjectLockEnabled: 'Enabled' as const,
        Rule: { DefaultRetention: { Mode: byDefault, Days: 1 } },
      };
      await this.owner.send(new PutObjectLockConfigurationCommand({ Bucket, ObjectLockConfiguration }));
    }
    return Bucket;
  }

  async stop(): Promise<void> {
    this.owner.destroy();
    await this.down();
    await rm(this.directory, { recursive: true, force: true });
  }
}
