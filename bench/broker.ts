import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomBytes, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'undici';
import { loadMandateKeySet, writeNewMandateKeySet } from '../adapters/jose/mandate-keys';
import { startEmbeddedPostgres } from '../adapters/postgres/embedded';
import { migrate } from '../adapters/postgres/schema';
import { createDevelopmentCa, issueSvid } from '../adapters/spiffe/development-ca';
import { signedPolicy } from '../apps/atb/dev/policy';
import { stateFiles } from '../apps/atb/dev/state';
import { sha256Base64url } from '../domain/digest';
import { freePort } from './free-port';
import { joined, measure, percentile, perSecond } from './measure';
import type { Series } from './measure';
import { round2, say } from './report';
import type { BenchOptions, Row } from './report';

/** A redemption with every check on, durably, against the same system called directly. */
export const BROKER = ['broker'] as const;

/** Agents at once, and the broker's processes that they are spread over: one store, as many processes as cores. */
const SHAPES = [
  { clients: 1, processes: 1 },
  { clients: 16, processes: 1 },
  { clients: 16, processes: 2 },
] as const;
const MOST_CLIENTS = 16;
const MOST_PROCESSES = 2;
// In turn, so that what else the machine does falls on both alike.
const ROUNDS = 3;
const SECONDS_A_ROUND = 3;
const WARM_UP_SECONDS = 2;
/** More than are used in a round: signed before it, so that the issuer's work is not measured. */
const MANDATES_A_SECOND = 3_000;
const SAMPLE_SECONDS = 10;
const BODY = '{"amount":100}';
const AGENT = 'spiffe://corp.example/agent/finance-bot';
const ISSUER = 'spiffe://corp.example/agentauth';
const AUDIENCE = 'spiffe://corp.example/broker';

/** With `seconds`, goes on for that long at the end and tells how the broker's memory stands. */
export async function benchBroker(_: readonly string[], { seconds }: BenchOptions): Promise<Row[]> {
  const scene = await Scene.open();
  try {
    const rows: Row[] = [];
    for (const { clients, processes } of SHAPES) {
      await scene.redeem(clients, processes, WARM_UP_SECONDS);
      await scene.direct(clients, WARM_UP_SECONDS);
      const before = await scene.metrics(processes);
      const redeemed: Series[] = [];
      const direct: Series[] = [];
      for (let round = 1; round <= ROUNDS; round++) {
        say(`broker: ${clients} at once, processes: ${processes}, round ${round} of ${ROUNDS}`);
        direct.push(await scene.direct(clients, SECONDS_A_ROUND));
        redeemed.push(await scene.redeem(clients, processes, SECONDS_A_ROUND));
      }
      const after = await scene.metrics(processes);
      const all = joined(redeemed);
      const bare = joined(direct);
      rows.push(figures('direct', bare), {
        ...figures(processes === 1 ? 'broker' : `broker, ${processes} processes`, all),
        against: `direct, ${clients}`,
        ratio_p50: round2(percentile(all.latencies, 50) / percentile(bare.latencies, 50)),
        ratio_throughput: round2(perSecond(all) / perSecond(bare)),
        note: `the broker's own CPU: ${cpuOf(before, after, all.latencies.length)} ms a redemption; ms a check: ${splitOf(before, after)}`,
      });
    }
    if (seconds > 0) rows.push(await longRun(scene, seconds));
    return rows;
  } finally {
    await scene.close();
  }
}

async function longRun(scene: Scene, seconds: number): Promise<Row> {
  const memory: number[] = [];
  const series: Series[] = [];
  for (let left = seconds; left > 0; left -= SAMPLE_SECONDS) {
    series.push(await scene.redeem(MOST_CLIENTS, 1, Math.min(left, SAMPLE_SECONDS)));
    memory.push(
      Math.round((metricOf(await scene.metrics(1), 'process_resident_memory_bytes') ?? 0) / 2 ** 20),
    );
  }
  const half = Math.floor(memory.length / 2);
  const note = `MiB resident every ${SAMPLE_SECONDS} s of redeeming: ${memory.join(' ')}; the most in the first half ${Math.max(...memory.slice(0, half || 1))}, in the second ${Math.max(...memory.slice(half))}`;
  return { ...figures('broker', joined(series)), against: 'itself', note };
}

/** PostgreSQL, a system behind and a broker, each a process of its own, and an agent. */
class Scene {
  private constructor(
    private readonly mint: () => Promise<string>,
    private readonly systems: readonly Client[],
    /** The clients of each process. */
    private readonly brokers: readonly (readonly Client[])[],
    private readonly adminUrls: readonly string[],
    readonly close: () => Promise<void>,
  ) {}

  static async open(): Promise<Scene> {
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
      const upstream = spawn(process.execPath, [
        require.resolve('./broker-upstream'),
        await file('system.pem', system.chainPem),
        await file('system-key.pem', system.privateKeyPem),
        bundle,
      ]);
      undo.push(() => ended(upstream));
      const port = Number(await said(upstream, /^(\d+)\n/));
      const keys = await loadMandateKeySet(await writeNewMandateKeySet(join(folder, 'keys')));
      await mkdir(join(folder, 'connectors'));
      await file('connectors/erp.json', JSON.stringify(connector(port)));
      const state = await stateFiles(folder);
      await signedPolicy(state, undefined);
      const environment = {
        PATH: process.env.PATH,
        ATB_POLICY_BUNDLE_FILE: state.policy.bundle,
        ATB_POLICY_PUBLIC_KEY_FILE: state.policy.publicKey,
        ATB_BROKER_PORT: '0',
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
      };
      const brokers: (readonly Client[])[] = [];
      const adminUrls: string[] = [];
      const connect = { ca: ca.certificatePem, cert: agent.chainPem, key: agent.privateKeyPem };
      const clients = (origin: string) =>
        Array.from({ length: MOST_CLIENTS }, () => new Client(origin, { connect }));
      const direct = clients(`https://localhost:${port}`);
      while (brokers.length < MOST_PROCESSES) {
        const adminPort = await freePort();
        const child = spawn(process.execPath, [join(__dirname, '..', 'apps', 'broker', 'main.js')], {
          stdio: ['ignore', 'pipe', 'inherit'],
          env: { ...environment, ATB_BROKER_ADMIN_PORT: String(adminPort) },
        });
        undo.push(() => ended(child));
        brokers.push(clients(await said(child, /listens at (https:\S+)/)));
        adminUrls.push(`http://127.0.0.1:${adminPort}`);
      }
      undo.push(async () => {
        await Promise.all([...direct, ...brokers.flat()].map((client) => client.destroy()));
      });
      const x5tS256 = sha256Base64url(new X509Certificate(agent.chainPem).raw);
      const mint = () => keys.signer.sign(claims(x5tS256));
      return new Scene(mint, direct, brokers, adminUrls, close);
    } catch (error) {
      await close();
      throw error;
    }
  }

  /** The same call of the system itself. */
  direct(clients: number, seconds: number): Promise<Series> {
    return measure(clients, seconds, (client) => pay(this.systems[client], '/api/payments', {}));
  }

  async redeem(clients: number, processes: number, seconds: number): Promise<Series> {
    const mandates: string[] = [];
    while (mandates.length < seconds * MANDATES_A_SECOND) mandates.push(await this.mint());
    return measure(clients, seconds, (client) => {
      const mandate = mandates.pop();
      if (mandate === undefined) throw new Error('more redemptions than mandates: raise MANDATES_A_SECOND');
      return pay(this.brokers[client % processes]?.[client], '/c/erp/payments', {
        authorization: `PoA ${mandate}`,
      });
    });
  }

  /** Of so many processes, one after the other. */
  async metrics(processes: number): Promise<string> {
    const urls = this.adminUrls.slice(0, processes);
    return (await Promise.all(urls.map(async (url) => (await fetch(`${url}/metrics`)).text()))).join('\n');
  }
}

async function pay(
  client: Client | undefined,
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<void> {
  if (!client) throw new Error('no client');
  const { statusCode, body } = await client.request({
    ...{ method: 'POST', path, body: BODY },
    headers: { 'content-type': 'application/json', ...headers },
  });
  const text = await body.text();
  // A figure made of refusals would say nothing.
  if (statusCode !== 201) throw new Error(`${statusCode}: ${text}`);
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

function figures(name: string, series: Series): Row {
  return {
    name,
    clients: series.clients,
    p50_ms: round2(percentile(series.latencies, 50)),
    p95_ms: round2(percentile(series.latencies, 95)),
    p99_ms: round2(percentile(series.latencies, 99)),
    per_second: round2(perSecond(series)),
    against: name,
  };
}

/** What each check took on average between two looks at the metrics, in milliseconds. */
function splitOf(before: string, after: string): string {
  const names = new Set(
    [...after.matchAll(/^atb_redemption_check_seconds_sum\{check="(\w+)"\}/gm)].map(([, name = '']) => name),
  );
  return [...names]
    .map((name) => {
      const grown = (kind: string) => {
        const metric = `atb_redemption_check_seconds_${kind}{check="${name}"}`;
        return (metricOf(after, metric) ?? 0) - (metricOf(before, metric) ?? 0);
      };
      return `${name} ${((grown('sum') / grown('count')) * 1000).toFixed(3)}`;
    })
    .join(', ');
}

/** What the broker's process computed for each of so many redemptions: the same whatever else the machine does. */
function cpuOf(before: string, after: string, redemptions: number): string {
  const name = 'process_cpu_seconds_total';
  const seconds = (metricOf(after, name) ?? 0) - (metricOf(before, name) ?? 0);
  return ((seconds / redemptions) * 1000).toFixed(2);
}

/** The sum over the processes. */
function metricOf(text: string, name: string): number | undefined {
  const lines = text.split('\n').filter((candidate) => candidate.startsWith(`${name} `));
  return lines.length === 0
    ? undefined
    : lines.reduce((sum, line) => sum + Number(line.slice(name.length)), 0);
}

function said(child: ChildProcess, pattern: RegExp): Promise<string> {
  let text = '';
  let found: string | undefined;
  const { stdout } = child;
  if (!stdout) return Promise.reject(new Error('it has no output'));
  return new Promise((resolve, reject) => {
    // Read to its end: a pipe that nobody empties holds up whoever writes to it.
    stdout.on('data', (chunk: Buffer) => {
      if (found !== undefined) return;
      text += chunk.toString();
      found = pattern.exec(text)?.[1];
      if (found !== undefined) resolve(found);
    });
    stdout.once('end', () => {
      reject(new Error(`it ended: ${text}`));
    });
  });
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}
