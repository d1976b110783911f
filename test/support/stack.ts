import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import { portsFrom } from '../../apps/atb/dev/ports';
import { SILENT } from '../../apps/atb/dev/progress';
import { startStack } from '../../apps/atb/dev/stack';
import type { Stack } from '../../apps/atb/dev/stack';
import { PostgresLedger } from '../../adapters/postgres/ledger';
import { sealedDataConverterFrom } from '../../adapters/temporal/data-converter';
import { NAMESPACE } from '../../adapters/temporal/server-settings';
import { HttpCaller } from './http';

let runtimeInstalled = false;

/** A whole development stack in this process: real Temporal, real PostgreSQL, real TLS. */
export class TestStack {
  private readonly callers = new Map<string, HttpCaller>();
  private readonly cleanUp: (() => Promise<void>)[] = [];

  private constructor(
    readonly stack: Stack,
    readonly directory: string,
  ) {}

  static async start(environment: Record<string, string> = {}): Promise<TestStack> {
    if (!runtimeInstalled) {
      Runtime.install({ logger: new DefaultLogger('ERROR'), shutdownSignals: [] });
      runtimeInstalled = true;
    }
    const directory = await mkdtemp(join(tmpdir(), 'atb-test-'));
    const stack = await startStack({
      stateDirectory: directory,
      ports: portsFrom(await freePortBase()),
      progress: SILENT,
      environment,
      onFatal: (error) => {
        throw error;
      },
    });
    return new TestStack(stack, directory);
  }

  /** A caller with an identity of the example company, for example `agent/finance-bot`. */
  as(name: string): HttpCaller {
    const known = this.callers.get(name);
    if (known) return known;
    const identity = this.stack.identities[name];
    if (!identity) throw new Error(`${name} is no identity of the stack`);
    const caller = HttpCaller.fromFiles(this.stack.agentauthUrl, this.trustBundle, identity);
    this.callers.set(name, caller);
    return caller;
  }

  /** A caller that shows no certificate. */
  nobody(): HttpCaller {
    const caller = HttpCaller.fromFiles(this.stack.agentauthUrl, this.trustBundle);
    this.callers.set(randomBytes(4).toString('hex'), caller);
    return caller;
  }

  get trustBundle(): string {
    return join(this.directory, 'corp.example.pem');
  }

  identity(name: string): { readonly cert: string; readonly key: string } {
    const identity = this.stack.identities[name];
    if (!identity) throw new Error(`${name} is no identity of the stack`);
    return identity;
  }

  /** The audit log, read as an auditor would. */
  async ledger(): Promise<PostgresLedger> {
    const ledger = new PostgresLedger((await readFile(join(this.directory, 'database-url'), 'utf8')).trim());
    this.cleanUp.push(() => ledger.end());
    return ledger;
  }

  async auditTypes(requestId: string): Promise<string[]> {
    const ledger = await this.ledger();
    return (await ledger.events({ requestId, limit: 100 })).map(({ type }) => type);
  }

  /** A Temporal client with our codec's keys, as our own processes have. */
  async sealedClient(): Promise<Client> {
    const connection = await Connection.connect({ address: this.stack.temporalAddress });
    this.cleanUp.push(() => connection.close());
    const dataConverter = await sealedDataConverterFrom(join(this.directory, 'codec-keys.json'));
    return new Client({ connection, namespace: NAMESPACE, dataConverter });
  }

  /** What an insider with write access to the namespace has: a plain client, no keys. */
  async insider(): Promise<Client> {
    const connection = await Connection.connect({ address: this.stack.temporalAddress });
    this.cleanUp.push(() => connection.close());
    return new Client({ connection, namespace: NAMESPACE });
  }

  async stop(): Promise<void> {
    for (const caller of this.callers.values()) caller.close();
    for (const step of this.cleanUp.reverse()) await step();
    await this.stack.stop();
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** The first of six free ports in a row, somewhere random, so that suites do not meet. */
async function freePortBase(): Promise<number> {
  for (;;) {
    const base = 20_000 + Math.floor(Math.random() * 30_000);
    const free = await Promise.all(Object.values(portsFrom(base)).map((port) => isFree(port as number)));
    if (free.every(Boolean)) return base;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => {
      resolve(false);
    });
    probe.listen(port, '127.0.0.1', () => {
      probe.close(() => {
        resolve(true);
      });
    });
  });
}
