import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { loadMandateKeySet } from '../../adapters/jose/mandate-keys';
import { startEmbeddedPostgres } from '../../adapters/postgres/embedded';
import type { EmbeddedPostgres } from '../../adapters/postgres/embedded';
import { migrate } from '../../adapters/postgres/schema';
import { obtainExecutable } from '../../adapters/process/executable';
import { readCodecKeys } from '../../adapters/temporal/codec-keys';
import { sealedDataConverterFrom } from '../../adapters/temporal/data-converter';
import { startDevServer } from '../../adapters/temporal/dev-server';
import type { DevServer } from '../../adapters/temporal/dev-server';
import { NAMESPACE } from '../../adapters/temporal/server-settings';
import type { DevelopmentIdentities } from '../../apps/atb/dev/identities';
import { freePortBase, portsFrom } from '../../apps/atb/dev/ports';
import type { StackPorts } from '../../apps/atb/dev/ports';
import { developmentEnvironment, developmentSettings } from '../../apps/atb/dev/settings';
import { stateFiles } from '../../apps/atb/dev/state';
import type { StateFiles } from '../../apps/atb/dev/state';
import { AuditorsLedger } from './auditors-ledger';
import { KILLED_AT_MOST } from './database';
import { HttpCaller } from './http';
import type { Answer } from './http';

const RESTART_PAUSE_MS = 200;
const READY_WITHIN_MS = 150_000;
const ANSWERED_WITHIN_MS = 900_000;
const ENDED_WITHIN_MS = 80_000;
const ASK_AGAIN_MS = 250;
const LAST_WORDS = 1_500;

/** Something that can be killed and comes back by itself, as what runs it in production brings it back. */
export interface Killable {
  /** SIGKILL; it is on its way back when this resolves. */
  kill(): Promise<void>;
}

/** A process of ours, started again whenever it ends. */
export class Supervised implements Killable {
  private child: ChildProcess | undefined;
  private wanted = false;
  private ended: Promise<void> = Promise.resolve();

  constructor(
    private readonly program: string,
    private readonly environment: NodeJS.ProcessEnv,
    private readonly logFile: string,
  ) {}

  start(): void {
    this.wanted = true;
    this.spawn();
  }

  async kill(): Promise<void> {
    const { child } = this;
    if (!child || hasEnded(child)) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  get pid(): number | undefined {
    return this.child?.pid;
  }

  /** Stands still, as a machine that is paused, until it is thawed. */
  freeze(): void {
    this.child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.child?.kill('SIGCONT');
  }

  /** Ends in good order, and stays ended. Answers its exit code. */
  async stop(): Promise<number | null> {
    this.wanted = false;
    this.child?.kill('SIGTERM');
    await this.ended;
    return this.child?.exitCode ?? null;
  }

  lastWords(): string {
    return readFileSync(this.logFile, 'utf8').slice(-LAST_WORDS);
  }

  private spawn(): void {
    const log = openSync(this.logFile, 'a', 0o600);
    const child = spawn(process.execPath, [this.program], {
      env: this.environment,
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.child = child;
    this.ended = once(child, 'exit').then(async () => {
      if (this.wanted) await sleep(RESTART_PAUSE_MS);
      if (this.wanted) this.spawn();
    });
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** Temporal's own server, on a database file that outlives it. */
class TemporalServer implements Killable {
  private server: DevServer | undefined;
  private comingBack: Promise<void> = Promise.resolve();

  constructor(private readonly options: Parameters<typeof startDevServer>[0]) {}

  async start(): Promise<void> {
    this.server = await startDevServer(this.options);
  }

  async kill(): Promise<void> {
    await this.back();
    const { server } = this;
    if (!server) throw new Error('there is no Temporal server to kill');
    process.kill(server.pid, 'SIGKILL');
    await server.exited;
    this.comingBack = this.start();
    // Whoever waits for it hears of it.
    this.comingBack.catch(() => undefined);
  }

  /** Resolves when it is there again. */
  back(): Promise<void> {
    return this.comingBack;
  }

  async stop(): Promise<void> {
    await this.comingBack.catch(() => undefined);
    await this.server?.stop();
    this.server = undefined;
  }
}

/** Asks until there is an answer that is no "not now": what is asked may be dead at the moment. */
class PatientCaller extends HttpCaller {
  override async send(...call: Parameters<HttpCaller['send']>): Promise<Answer> {
    const until = Date.now() + ANSWERED_WITHIN_MS;
    for (;;) {
      const answer = await super.send(...call).catch((error: unknown) => String(error));
      if (typeof answer !== 'string' && answer.status < 500 && answer.status !== 429) return answer;
      if (Date.now() > until) throw new Error(`${call[0]} ${call[1]}: ${JSON.stringify(answer)}`);
      await sleep(ASK_AGAIN_MS);
    }
  }
}

/** AgentAuth and the worker as processes of their own (the safe shape), on a Temporal server and a PostgreSQL. */
export class Apart {
  private readonly callers = new Map<string, HttpCaller>();

  private constructor(
    readonly directory: string,
    private readonly files: StateFiles,
    private readonly ports: StackPorts,
    private readonly identities: DevelopmentIdentities['identities'],
    private readonly postgres: EmbeddedPostgres,
    readonly temporal: TemporalServer,
    readonly agentauth: Supervised,
    readonly worker: Supervised,
    /** What carries changes out; it runs where there is an ATB_OPERATIONS_FILE. */
    readonly operations: Supervised,
    /** What the processes are told. */
    readonly environment: NodeJS.ProcessEnv,
  ) {}

  static async start(environment: Record<string, string> = {}): Promise<Apart> {
    const directory = await mkdtemp(join(tmpdir(), 'atb-apart-'));
    const ports = portsFrom(await freePortBase());
    const files = await stateFiles(directory);
    const { identities, server } = await developmentSettings(files, environment.ATB_POLICY_DIR);
    const temporal = new TemporalServer({
      executable: await obtainExecutable('temporal'),
      stateDirectory: directory,
      port: ports.temporal,
    });
    const temporalAddress = `127.0.0.1:${ports.temporal}`;
    const settings = developmentEnvironment(files, ports, temporalAddress, server);
    const told = {
      ...process.env,
      ...settings,
      ATB_JWKS_FILE: join(directory, 'jwks.json'),
      // Nothing else listens where a development stack has its codec server.
      ATB_WORKER_ADMIN_PORT: String(ports.codec),
      ATB_OPERATIONS_ADMIN_PORT: '0',
      // A slow machine is no outage.
      ATB_DECISION_TIMEOUT_MS: '15000',
      ...environment,
    };
    const { jwks } = await loadMandateKeySet(settings.ATB_SIGNING_KEYS_FILE ?? '');
    await writeFile(told.ATB_JWKS_FILE, JSON.stringify(jwks));
    const postgres = await startEmbeddedPostgres({
      stateDirectory: join(directory, 'postgres'),
      port: ports.postgres,
      settings: KILLED_AT_MOST,
    });
    await migrate(postgres.url);
    await writeFile(files.databaseUrl, `${postgres.serviceUrl}\n`, { mode: 0o600 });
    const supervised = (name: string) =>
      new Supervised(programOf(name), told, join(directory, `${name}.log`));
    const apart = new Apart(
      ...([directory, files, ports, identities, postgres, temporal] as const),
      ...([supervised('agentauth'), supervised('worker'), supervised('operations'), told] as const),
    );
    try {
      await temporal.start();
      apart.worker.start();
      apart.agentauth.start();
      if (environment.ATB_OPERATIONS_FILE !== undefined) apart.operations.start();
      await apart.ready();
    } catch (error) {
      await apart.stop();
      throw error;
    }
    return apart;
  }

  /** Resolves when AgentAuth and the worker say that they can work. */
  async ready(): Promise<void> {
    await this.temporal.back();
    const until = Date.now() + READY_WITHIN_MS;
    for (const port of [this.ports.codec, this.ports.agentauthAdmin]) {
      while (!(await isReady(port))) {
        if (Date.now() > until) throw new Error(`not ready: ${this.lastWords()}`);
        await sleep(100);
      }
    }
  }

  /** Another process of this program, once: how it ends, and what it says. */
  async once(
    name: 'agentauth' | 'worker',
    environment: Record<string, string> = {},
  ): Promise<{ readonly code: number | null; readonly said: string }> {
    const child = spawn(process.execPath, [programOf(name)], {
      env: {
        ...this.environment,
        ATB_PORT: '0',
        ATB_ADMIN_PORT: '0',
        ATB_WORKER_ADMIN_PORT: '0',
        ...environment,
      },
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: ENDED_WITHIN_MS,
      killSignal: 'SIGKILL',
    });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, said };
  }

  /** One more of this program beside the first, until it is stopped. */
  another(name: 'operations'): Supervised {
    const more = new Supervised(programOf(name), this.environment, join(this.directory, `${name}-2.log`));
    more.start();
    return more;
  }

  /** A caller with an identity of the example company that asks until it is answered. */
  as(name: string): HttpCaller {
    const known = this.callers.get(name);
    if (known) return known;
    const url = `https://localhost:${this.ports.agentauth}`;
    const caller = PatientCaller.fromFiles(url, this.files.caCertificate, this.identity(name));
    this.callers.set(name, caller);
    return caller;
  }

  identity(name: string): { readonly cert: string; readonly key: string } {
    const identity = this.identities[name];
    if (!identity) throw new Error(`${name} is no identity of the example company`);
    return identity;
  }

  /** The owner's connection string of the database. */
  get databaseUrl(): string {
    return this.postgres.url;
  }

  get ticketsFile(): string {
    return this.files.tickets;
  }

  /** The audit log, read as an auditor would. */
  async withLedger<T>(work: (ledger: AuditorsLedger) => Promise<T>): Promise<T> {
    const ledger = new AuditorsLedger(this.postgres.serviceUrl, await readCodecKeys(this.files.auditKeys));
    try {
      return await work(ledger);
    } finally {
      await ledger.end();
    }
  }

  /** A Temporal client with our codec's keys. */
  async withTemporal<T>(work: (client: Client) => Promise<T>): Promise<T> {
    const connection = await Connection.connect({ address: `127.0.0.1:${this.ports.temporal}` });
    try {
      const dataConverter = await sealedDataConverterFrom(this.files.codecKeys);
      return await work(new Client({ connection, namespace: NAMESPACE, dataConverter }));
    } finally {
      await connection.close();
    }
  }

  async stop(): Promise<void> {
    for (const caller of this.callers.values()) caller.close();
    await this.agentauth.stop();
    await this.worker.stop();
    await this.operations.stop();
    await this.temporal.stop();
    await this.postgres.stop();
    await rm(this.directory, { recursive: true, force: true });
  }

  /** The end of what both said, for whoever wonders why a test failed. */
  lastWords(): string {
    return [this.worker, this.agentauth, this.operations]
      .map((process) => (process.pid === undefined ? '' : process.lastWords()))
      .join('\n');
  }
}

function programOf(name: string): string {
  return join('dist', 'apps', name, 'main.js');
}

async function isReady(port: number): Promise<boolean> {
  const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined);
  return answer?.status === 200;
}
