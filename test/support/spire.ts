import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startEmbeddedPostgres } from '../../adapters/postgres/embedded';
import { obtainExecutable } from '../../adapters/process/executable';
import { startServerProcess } from '../../adapters/process/server-process';
import type { ServerProcess } from '../../adapters/process/server-process';
import type { TlsIdentity } from './http';

const run = promisify(execFile);
const TRUST_DOMAIN = 'corp.example';

/** Who gets which SPIFFE ID. */
export interface Registrations {
  /** The executables of AgentAuth, the worker and the broker. */
  readonly agentauth: string;
  readonly worker: string;
  readonly broker: string;
  /** By the path in the SPIFFE ID, `agent/finance-bot` for example. */
  readonly agents: Readonly<Record<string, string>>;
  readonly svidTtlSeconds: number;
}

/** A SPIRE server and agent with the configuration and the registration entries of deploy/spire. */
export class Spire {
  private readonly servers: ServerProcess[] = [];

  private constructor(
    private readonly directory: string,
    private readonly executable: string,
    private readonly environment: NodeJS.ProcessEnv,
  ) {}

  /** `ports` are free: of the server, and of its database. */
  static async start(
    directory: string,
    ports: { readonly server: number; readonly postgres: number },
    registrations: Registrations,
  ): Promise<Spire> {
    // One after the other: either may have to be built.
    const server = await obtainExecutable('spire-server');
    const agent = await obtainExecutable('spire-agent');
    await mkdir(directory, { recursive: true });
    const database = await startEmbeddedPostgres({
      stateDirectory: join(directory, 'postgres'),
      port: ports.postgres,
      database: 'spire',
    });
    const spire = new Spire(directory, server, {
      ...process.env,
      SPIRE_TRUST_DOMAIN: TRUST_DOMAIN,
      SPIRE_BIND_ADDRESS: '127.0.0.1',
      SPIRE_SERVER_ADDRESS: '127.0.0.1',
      SPIRE_PORT: String(ports.server),
      SPIRE_DATABASE_URL: `${database.url}?sslmode=disable`,
      SPIRE_TRUST_BUNDLE: join(directory, 'bundle.pem'),
      SPIRE_SERVER_SOCKET: join(directory, 'server.sock'),
      SPIRE_AGENT_SOCKET: join(directory, 'agent.sock'),
    });
    spire.servers.push(database);
    try {
      await spire.startServer();
      await spire.register(registrations);
      await spire.startAgent(agent);
    } catch (error) {
      await spire.stop();
      throw error;
    }
    return spire;
  }

  /** As SPIFFE_ENDPOINT_SOCKET has it. */
  get endpoint(): string {
    return `unix://${this.environment.SPIRE_AGENT_SOCKET ?? ''}`;
  }

  get trustBundleFile(): string {
    return this.environment.SPIRE_TRUST_BUNDLE ?? '';
  }

  /** An SVID from the server itself, for whoever has no agent beside him. Answers its files. */
  async mint(path: string): Promise<TlsIdentity> {
    const folder = join(this.directory, 'minted', path);
    await mkdir(folder, { recursive: true });
    await this.server('x509', 'mint', '-spiffeID', `spiffe://${TRUST_DOMAIN}/${path}`, '-write', folder);
    return { cert: join(folder, 'svid.pem'), key: join(folder, 'key.pem') };
  }

  async stop(): Promise<void> {
    for (const server of this.servers.splice(0).reverse()) await server.stop();
  }

  private async startServer(): Promise<void> {
    const isHealthy = async () => {
      await this.server('healthcheck');
    };
    await this.startProcess('SPIRE server', this.executable, 'server', [], isHealthy);
    await writeFile(this.trustBundleFile, await this.server('bundle', 'show'));
  }

  private async register({
    agentauth,
    worker,
    broker,
    agents,
    svidTtlSeconds,
  }: Registrations): Promise<void> {
    const path = (executable: string) => `unix:path:${executable}`;
    const others = Object.entries(agents).flatMap(([name, executable]) => [name, path(executable)]);
    await run('sh', ['deploy/spire/register.sh', ...others], {
      env: {
        ...this.environment,
        SPIRE_SERVER: this.executable,
        AGENTAUTH_SELECTOR: path(agentauth),
        WORKER_SELECTOR: path(worker),
        BROKER_SELECTOR: path(broker),
        SVID_TTL_SECONDS: String(svidTtlSeconds),
      },
    });
  }

  private async startAgent(executable: string): Promise<void> {
    const made = await this.server('token', 'generate', '-spiffeID', `spiffe://${TRUST_DOMAIN}/node`);
    const [, token] = /Token: (\S+)/.exec(made) ?? [];
    if (token === undefined) throw new Error(`no join token: ${made}`);
    const socket = this.environment.SPIRE_AGENT_SOCKET ?? '';
    await this.startProcess('SPIRE agent', executable, 'agent', ['-joinToken', token], async () => {
      await run(executable, ['healthcheck', '-socketPath', socket]);
    });
  }

  private async startProcess(
    title: string,
    command: string,
    name: 'server' | 'agent',
    more: readonly string[],
    isHealthy: () => Promise<void>,
  ): Promise<void> {
    const data = join(this.directory, name);
    await mkdir(data, { recursive: true });
    const started = await startServerProcess({
      ...{ title, command, isHealthy },
      args: ['run', '-config', `deploy/spire/${name}.conf`, '-expandEnv', ...more],
      logFile: join(this.directory, `${name}.log`),
      env: { ...this.environment, SPIRE_DATA_DIR: data },
      stopSignal: 'SIGTERM',
      healthyWithinMs: 60_000,
    });
    this.servers.push(started);
  }

  private async server(...args: readonly string[]): Promise<string> {
    const socket = this.environment.SPIRE_SERVER_SOCKET ?? '';
    const options = args.findIndex((arg) => arg.startsWith('-'));
    const at = options === -1 ? args.length : options;
    const { stdout } = await run(this.executable, [
      ...args.slice(0, at),
      ...['-socketPath', socket],
      ...args.slice(at),
    ]);
    return stdout;
  }
}
