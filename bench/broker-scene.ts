import { randomBytes, X509Certificate } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadMandateKeySet, writeNewMandateKeySet } from '../adapters/jose/mandate-keys';
import { startEmbeddedPostgres } from '../adapters/postgres/embedded';
import { migrate } from '../adapters/postgres/schema';
import { startServerProcess } from '../adapters/process/server-process';
import { createDevelopmentCa, issueSvid } from '../adapters/spiffe/development-ca';
import { signedPolicy } from '../apps/atb/dev/policy';
import { stateFiles } from '../apps/atb/dev/state';
import { sha256Base64url } from '../domain/digest';
import { freePort } from './free-port';
import { LeanClient, postOf } from './lean-client';
import { measure } from './measure';
import type { Series } from './measure';

export const MOST_CLIENTS = 16;
const MOST_PROCESSES = 2;
/** More than are used in a round: signed before it, so that the issuer's work is not measured. */
const MANDATES_A_SECOND = 3_000;
const HEALTHY_WITHIN_MS = 60_000;
const BODY = '{"amount":100}';
const AGENT = 'spiffe://corp.example/agent/finance-bot';
const ISSUER = 'spiffe://corp.example/agentauth';
const AUDIENCE = 'spiffe://corp.example/broker';

/** A series, and the CPU time that those who took part in it used, in milliseconds; `broker`: of all its processes. */
export interface Costly {
  readonly series: Series;
  readonly cpuMs: { readonly client: number; readonly system: number; readonly broker: number };
}

/** PostgreSQL, a system behind and a broker, each a process of its own, and an agent. */
export class BrokerScene {
  private constructor(
    private readonly mint: () => Promise<string>,
    private readonly systems: readonly LeanClient[],
    /** The clients of each process. */
    private readonly brokers: readonly (readonly LeanClient[])[],
    private readonly adminUrls: readonly string[],
    readonly close: () => Promise<void>,
  ) {}

  static async open(): Promise<BrokerScene> {
    const folder = await mkdtemp(join(tmpdir(), 'atb-bench-broker-'));
    const undo: (() => Promise<void>)[] = [() => rm(folder, { recursive: true, force: true })];
    const close = async () => {
      for (const step of undo.splice(0).reverse()) await step();
    };
    try {
      // With the settings that it comes with: every commit is flushed to disk.
      const postgres = await startEmbeddedPostgres({
        stateDirectory: join(folder, 'postgres'),
        port: await freePort(),
      });
      undo.push(() => postgres.stop());
      await migrate(postgres.url);
      const ca = await createDevelopmentCa('corp.example', 1);
      const file = async (name: string, content: string) => {
        await writeFile(join(folder, name), content);
        return join(folder, name);
      };
      const svid = (spiffeId: string) =>
        issueSvid(ca, { spiffeId, ttlHours: 2, dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'] });
      const [system, broker, agent] = await Promise.all(
        ['spiffe://corp.example/system/erp', AUDIENCE, AGENT].map(svid),
      );
      if (!system || !broker || !agent) throw new Error('no SVIDs');
      const bundle = await file('corp.example.pem', ca.certificatePem);
      const connect = { ca: ca.certificatePem, cert: agent.chainPem, key: agent.privateKeyPem };
      const clients = (port: number) =>
        Promise.all(
          Array.from({ length: MOST_CLIENTS }, () => LeanClient.open(`https://localhost:${port}`, connect)),
        );
      const port = await freePort();
      const upstream = await startServerProcess({
        title: 'the system behind',
        command: process.execPath,
        args: [
          require.resolve('./broker-upstream'),
          String(port),
          await file('system.pem', system.chainPem),
          await file('system-key.pem', system.privateKeyPem),
          bundle,
        ],
        logFile: join(folder, 'system.log'),
        stopSignal: 'SIGTERM',
        isHealthy: async () => {
          (await LeanClient.open(`https://localhost:${port}`, connect)).close();
        },
        healthyWithinMs: HEALTHY_WITHIN_MS,
      });
      undo.push(() => upstream.stop());
      const keys = await loadMandateKeySet(await writeNewMandateKeySet(join(folder, 'keys')));
      await mkdir(join(folder, 'connectors'));
      await file('connectors/erp.json', JSON.stringify(connector(port)));
      const state = await stateFiles(folder);
      await signedPolicy(state, undefined);
      const environment = {
        PATH: process.env.PATH,
        ATB_POLICY_BUNDLE_FILE: state.policy.bundle,
        ATB_POLICY_PUBLIC_KEY_FILE: state.policy.publicKey,
        ATB_BROKER_TLS_CERT_FILE: await file('broker.pem', broker.chainPem),
        ATB_BROKER_TLS_KEY_FILE: await file('broker-key.pem', broker.privateKeyPem),
        ATB_TRUST_BUNDLE_FILE: bundle,
        ATB_ISSUER: ISSUER,
        ATB_AUDIENCE: AUDIENCE,
        ATB_BROKER_JWKS_FILE: await file('jwks.json', JSON.stringify(keys.jwks)),
        ATB_DATABASE_URL_FILE: await file('database-url', postgres.serviceUrl),
        ATB_TICKETS_FILE: await file('tickets.json', '{}'),
        ATB_CONNECTORS_DIR: join(folder, 'connectors'),
        // Who signed it off is looked at beside the calls, not in them.
        ATB_REQUIRE_CONNECTOR_SIGN_OFF: 'false',
        // Written to files, as where they are kept (operating model §6).
        ATB_ACCESS_LOG_STDOUT: 'false',
        ATB_ACCESS_LOG_MAX_MIB: '64',
      };
      const brokers: (readonly LeanClient[])[] = [];
      const adminUrls: string[] = [];
      const direct = await clients(port);
      while (brokers.length < MOST_PROCESSES) {
        const [brokerPort, adminPort] = [await freePort(), await freePort()];
        const adminUrl = `http://127.0.0.1:${adminPort}`;
        const child = await startServerProcess({
          title: 'the broker',
          command: process.execPath,
          args: [join(__dirname, '..', 'apps', 'broker', 'main.js')],
          env: {
            ...environment,
            ATB_BROKER_PORT: String(brokerPort),
            ATB_BROKER_ADMIN_PORT: String(adminPort),
            ATB_ACCESS_LOG_DIR: join(folder, `access-${brokers.length}`),
          },
          logFile: join(folder, `broker-${brokers.length}.log`),
          stopSignal: 'SIGTERM',
          isHealthy: async () => {
            const { status } = await fetch(`${adminUrl}/readyz`);
            if (status !== 200) throw new Error(`it is not ready: ${status}`);
          },
          healthyWithinMs: HEALTHY_WITHIN_MS,
        });
        undo.push(() => child.stop());
        brokers.push(await clients(brokerPort));
        adminUrls.push(adminUrl);
      }
      undo.push(() => {
        for (const client of [...direct, ...brokers.flat()]) client.close();
        return Promise.resolve();
      });
      const x5tS256 = sha256Base64url(new X509Certificate(agent.chainPem).raw);
      const mint = () => keys.signer.sign(claims(x5tS256));
      return new BrokerScene(mint, direct, brokers, adminUrls, close);
    } catch (error) {
      await close();
      throw error;
    }
  }

  /** The same call of the system itself. */
  direct(clients: number, seconds: number): Promise<Costly> {
    const call = postOf('/api/payments', {}, BODY);
    return this.measured(clients, 0, seconds, (client) => pay(this.systems[client], call));
  }

  async redeem(clients: number, processes: number, seconds: number): Promise<Costly> {
    const calls: Buffer[] = [];
    while (calls.length < seconds * MANDATES_A_SECOND) {
      calls.push(postOf('/c/erp/payments', { authorization: `PoA ${await this.mint()}` }, BODY));
    }
    return this.measured(clients, processes, seconds, (client) => {
      const call = calls.pop();
      if (call === undefined) throw new Error('more redemptions than mandates: raise MANDATES_A_SECOND');
      return pay(this.brokers[client % processes]?.[client], call);
    });
  }

  /** Of so many processes, one after the other. */
  async metrics(processes: number): Promise<string> {
    const urls = this.adminUrls.slice(0, processes);
    return (await Promise.all(urls.map(async (url) => (await fetch(`${url}/metrics`)).text()))).join('\n');
  }

  private async measured(
    clients: number,
    processes: number,
    seconds: number,
    call: (client: number) => Promise<void>,
  ): Promise<Costly> {
    const brokersBefore = await this.brokersCpu(processes);
    const systemBefore = await this.systemCpu();
    const ownBefore = process.cpuUsage();
    const series = await measure(clients, seconds, call);
    const own = process.cpuUsage(ownBefore);
    const cpuMs = {
      client: (own.user + own.system) / 1000,
      system: (await this.systemCpu()) - systemBefore,
      broker: (await this.brokersCpu(processes)) - brokersBefore,
    };
    return { series, cpuMs };
  }

  private async brokersCpu(processes: number): Promise<number> {
    return 1000 * (metricOf(await this.metrics(processes), 'process_cpu_seconds_total') ?? 0);
  }

  private async systemCpu(): Promise<number> {
    return Number(await answered(this.systems[0], Buffer.from('GET /cpu HTTP/1.1\r\n\r\n'), 200));
  }
}

async function pay(client: LeanClient | undefined, call: Buffer): Promise<void> {
  await answered(client, call, 201);
}

async function answered(client: LeanClient | undefined, call: Buffer, expected: number): Promise<string> {
  if (!client) throw new Error('no client');
  const { status, body } = await client.send(call);
  // A figure made of refusals would say nothing.
  if (status !== expected) throw new Error(`${status}: ${body.toString()}`);
  return body.toString();
}

/** The sum over the processes. */
export function metricOf(text: string, name: string): number | undefined {
  const lines = text.split('\n').filter((candidate) => candidate.startsWith(`${name} `));
  return lines.length === 0
    ? undefined
    : lines.reduce((sum, line) => sum + Number(line.slice(name.length)), 0);
}

function claims(x5tS256: string) {
  const now = Math.floor(Date.now() / 1000);
  return {
    ...{ iss: ISSUER, aud: AUDIENCE, sub: AGENT, act: 'sap.payment.execute' },
    con: { params: { amount: 100 }, limits: { payment_limit: 100_000 } },
    leg: {
      jurisdiction: 'CH',
      accountable_party: { type: 'employee', id: 'emp-100' },
      basis: 'CONTRACT',
      ref: 'MSA-1',
      description: 'Pay invoice 1',
    },
    tier: 'high' as const,
    pol: 'bench',
    req: randomBytes(20).toString('base64url'),
    jti: randomBytes(24).toString('base64url'),
    ...{ iat: now, nbf: now, exp: now + 120 },
    cnf: { 'x5t#S256': x5tS256 },
  };
}

function connector(port: number) {
  return {
    ...{ id: 'erp', title: 'The system of the benchmark', owner: 'Platform-Ops', state: 'active' },
    data_classification: 'confidential',
    upstream: {
      url: `https://localhost:${port}/api`,
      ca_file: '../corp.example.pem',
      client_certificate: 'broker',
    },
    egress: { allow: [{ host: 'localhost', port }], private_addresses: ['127.0.0.0/8', '::1/128'] },
    // The pace is a limit, not work: it is counted all the same.
    limits: { calls_per_minute: 1_000_000 },
    routes: [
      {
        ...{ method: 'POST', path: '/payments', action: 'sap.payment.execute' },
        parameters: { amount: [{ in: 'body', pointer: '/amount' }] },
      },
    ],
  };
}
