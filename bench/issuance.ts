import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import { poaRequestWorkflowId } from '../workflows/contract';
import { BenchAgent } from './agent';
import { startBare } from './bare';
import { joined, measure, percentile, perSecond } from './measure';
import type { Series } from './measure';
import { round2, say } from './report';
import { startStackProcess, startTemporal } from './stack';
import type { BenchOptions, Row, ServerName } from './report';

/** What this measures, each as a ratio to `noop` on the same server. */
export const ISSUANCE = ['noop', 'issue-low', 'issue-high'] as const;
type Name = (typeof ISSUANCE)[number];
const CLIENTS = [1, 16, 64] as const;

// Short rounds, taken in turn, so that what else the machine does falls on all of them alike.
const ROUNDS = 4;
const SECONDS_A_ROUND = 3;
const WARM_UP_SECONDS = 3;

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
    const bare = await startBare(temporal.address);
    undo.push(() => bare.stop());
    const runs: Partial<Record<Name, (client: number) => Promise<void>>> = { noop: () => bare.noop() };
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

function need<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('nothing to measure');
  return value;
}
