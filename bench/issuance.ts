import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { obtainExecutable } from '../adapters/process/executable';
import { projectRoot } from '../adapters/process/project-root';
import { startDevServer } from '../adapters/temporal/dev-server';
import { NAMESPACE } from '../adapters/temporal/server-settings';
import { poaRequestWorkflowId } from '../workflows/contract';
import { BenchAgent, loadIdentities } from './agent';
import type { Identities } from './agent';
import { joined, measure, percentile, perSecond } from './measure';
import type { Series } from './measure';
import { round2, say } from './report';
import { roomyPolicy } from './roomy-policy';
import type { BenchOptions, Row, ServerName } from './report';
import { startPostgresTemporal } from '../adapters/temporal/postgres-server';

/** What this measures, each as a ratio to `noop` on the same server. */
export const ISSUANCE = ['noop', 'issue-low', 'issue-high'] as const;
type Name = (typeof ISSUANCE)[number];
const CLIENTS = [1, 16, 64] as const;
const NOOP_QUEUE = 'bench-noop';

// Short rounds, taken in turn, so that what else the machine does falls on all of them alike.
const ROUNDS = 4;
const SECONDS_A_ROUND = 3;
const WARM_UP_SECONDS = 3;

interface TemporalServer {
  readonly address: string;
  stop(): Promise<void>;
}

/** A mandate's way through the whole stack, against a no-op workflow on the bare Temporal server. */
export async function benchIssuance(only: readonly string[], { servers }: BenchOptions): Promise<Row[]> {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const names = ISSUANCE.filter((name) => only.includes(name));
  const rows: Row[] = [];
  for (const server of servers) rows.push(...(await benchOn(server, names)));
  return rows;
}

async function benchOn(server: ServerName, only: readonly Name[]): Promise<Row[]> {
  const directory = await mkdtemp(join(tmpdir(), 'atb-bench-'));
  const undo: (() => Promise<void>)[] = [() => rm(directory, { recursive: true, force: true })];
  try {
    say(`${server}: starting a Temporal server`);
    const temporal = await startTemporal(server, directory);
    undo.push(() => temporal.stop());
    const bare = await startNoop(temporal.address);
    undo.push(() => bare.stop());
    const runs: Partial<Record<Name, (client: number) => Promise<void>>> = { noop: () => bare.run() };
    const workflowIds: Partial<Record<Name, () => string>> = { noop: () => bare.lastWorkflowId() };
    if (only.some((name) => name !== 'noop')) {
      say(`${server}: starting AgentAuth and the worker on it`);
      const stack = await startStackProcess(temporal.address, join(directory, 'stack'));
      undo.push(() => stack.stop());
      const agents = Array.from({ length: Math.max(...CLIENTS) }, () => new BenchAgent(stack.identities));
      undo.push(() => {
        for (const agent of agents) agent.close();
        return Promise.resolve();
      });
      let low = '';
      let high = '';
      runs['issue-low'] = async (client) => {
        low = (await agents[client]?.issueLow()) ?? '';
      };
      runs['issue-high'] = async (client) => {
        high = (await agents[client]?.issueHigh()) ?? '';
      };
      workflowIds['issue-low'] = () => poaRequestWorkflowId(low);
      workflowIds['issue-high'] = () => poaRequestWorkflowId(high);
    }
    return await measured(server, only, runs, (name) => bare.historyEvents(workflowIds[name]?.() ?? ''));
  } finally {
    for (const step of undo.reverse()) await step();
  }
}

async function measured(
  server: ServerName,
  only: readonly Name[],
  runs: Partial<Record<Name, (client: number) => Promise<void>>>,
  historyEvents: (name: Name) => Promise<number>,
): Promise<Row[]> {
  // The bare server is always measured: everything else is a ratio to it.
  const names = ISSUANCE.filter((name) => name === 'noop' || only.includes(name));
  const rows: Row[] = [];
  for (const name of names) await measure(4, WARM_UP_SECONDS, need(runs[name]));
  for (const clients of CLIENTS) {
    const rounds = new Map<Name, Series[]>(names.map((name) => [name, []]));
    for (let round = 1; round <= ROUNDS; round++) {
      for (const name of names) {
        say(`${server}: ${name}, ${clients} at once, round ${round} of ${ROUNDS}`);
        rounds.get(name)?.push(await measure(clients, SECONDS_A_ROUND, need(runs[name])));
      }
    }
    const bare = joined(need(rounds.get('noop')));
    for (const name of names.filter((name) => only.includes(name))) {
      const series = joined(need(rounds.get(name)));
      rows.push({
        name,
        server,
        clients,
        p50_ms: round2(percentile(series.latencies, 50)),
        p95_ms: round2(percentile(series.latencies, 95)),
        p99_ms: round2(percentile(series.latencies, 99)),
        per_second: round2(perSecond(series)),
        against: 'noop',
        ratio_p50: round2(percentile(series.latencies, 50) / percentile(bare.latencies, 50)),
        ratio_throughput: round2(perSecond(series) / perSecond(bare)),
        history_events: await historyEvents(name),
      });
    }
  }
  return rows;
}

async function startTemporal(server: ServerName, directory: string): Promise<TemporalServer> {
  if (server === 'postgres') {
    return startPostgresTemporal({ stateDirectory: join(directory, 'temporal-pg'), onProgress: say });
  }
  const executable = await obtainExecutable('temporal', { onProgress: say });
  return startDevServer({ executable, stateDirectory: join(directory, 'temporal'), port: await freePort() });
}

/** The bare server: a no-op workflow, started and awaited by a plain client, with a plain worker beside it. */
async function startNoop(address: string) {
  const connection = await NativeConnection.connect({ address });
  const worker = await Worker.create({
    connection,
    namespace: NAMESPACE,
    taskQueue: NOOP_QUEUE,
    workflowsPath: require.resolve('./noop'),
    maxConcurrentWorkflowTaskExecutions: 100,
  });
  const running = worker.run();
  const clientConnection = await Connection.connect({ address });
  const client = new Client({ connection: clientConnection, namespace: NAMESPACE });
  let sequence = 0;
  return {
    async run() {
      const workflowId = `bench-noop/${process.pid}-${sequence++}`;
      await client.workflow.execute('noop', { taskQueue: NOOP_QUEUE, workflowId });
    },
    lastWorkflowId: () => `bench-noop/${process.pid}-${sequence - 1}`,
    async historyEvents(workflowId: string) {
      const history = await client.workflow.getHandle(workflowId).fetchHistory();
      return history.events?.length ?? 0;
    },
    async stop() {
      worker.shutdown();
      await running;
      await clientConnection.close();
      await connection.close();
    },
  };
}

async function startStackProcess(temporalAddress: string, stateDirectory: string) {
  const portBase = await freePort();
  const child = spawn(
    process.execPath,
    [
      join(projectRoot(), 'dist', 'apps', 'atb', 'main.js'),
      ...[
        'dev',
        '--temporal',
        temporalAddress,
        '--state-dir',
        stateDirectory,
        '--port-base',
        String(portBase),
      ],
    ],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: {
        ...process.env,
        ATB_REQUESTS_PER_MINUTE: '10000000',
        ATB_PENDING_PER_AGENT: '100000',
        ATB_POLICY_DIR: await roomyPolicy(join(stateDirectory, 'policy')),
        ATB_LOG_LEVEL: 'error',
      },
    },
  );
  return { identities: await ready(child, join(stateDirectory, 'dev.json')), stop: () => ended(child) };
}

async function ready(child: ChildProcess, devJson: string): Promise<Identities> {
  for (let tries = 0; tries < 600; tries++) {
    if (child.exitCode !== null)
      throw new Error(`the stack ended with ${child.exitCode} before it was ready`);
    const text = await readFile(devJson, 'utf8').catch(() => undefined);
    if (text !== undefined) return loadIdentities(text);
    await sleep(200);
  }
  await ended(child);
  throw new Error('the stack was not ready within two minutes');
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => {
        // Ten in a row are needed; near the top there may be none.
        resolve(port > 60_000 ? port - 10_000 : port);
      });
    });
  });
}

function need<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('nothing to measure');
  return value;
}
