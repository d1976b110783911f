import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { startEmbeddedPostgres } from '../../adapters/postgres/embedded';
import type { EmbeddedPostgres } from '../../adapters/postgres/embedded';
import { freePortBase } from '../../apps/atb/dev/ports';

/** Of a server that is killed now and then, while the machine runs on: it does not wait for the disk. */
export const KILLED_AT_MOST = { fsync: 'off' } as const;

/** A PostgreSQL of a test's own, that forgets nothing while the machine runs. */
export class TestDatabase {
  private constructor(
    private readonly directory: string,
    private server: EmbeddedPostgres,
  ) {}

  static async start(settings: Readonly<Record<string, string>> = {}): Promise<TestDatabase> {
    const directory = await mkdtemp(join(tmpdir(), 'atb-database-'));
    const port = await freePort();
    return new TestDatabase(
      directory,
      await startEmbeddedPostgres({
        stateDirectory: directory,
        port,
        settings: { ...KILLED_AT_MOST, ...settings },
      }),
    );
  }

  /** The owner's connection string. */
  get url(): string {
    return this.server.url;
  }

  /** The connection string of the account that the services use. */
  get serviceUrl(): string {
    return this.server.serviceUrl;
  }

  /** The server's process. */
  get pid(): number {
    return this.server.pid;
  }

  /** One session of its own. */
  async session<T>(work: (client: Client) => Promise<T>, url = this.url): Promise<T> {
    const client = new Client({ connectionString: url });
    client.on('error', () => undefined);
    await client.connect();
    try {
      return await work(client);
    } finally {
      await client.end();
    }
  }

  async stop(): Promise<void> {
    await this.server.stop();
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** A port that stays free while nobody listens there: no connection that goes out is given it. */
export function freePort(): Promise<number> {
  return freePortBase();
}
