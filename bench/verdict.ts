import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import { BenchAgent } from './agent';
import { startBare } from './bare';
import { joined, percentile, perSecond } from './measure';
import type { Series } from './measure';
import { round2, say } from './report';
import type { BenchOptions, Row, ServerName } from './report';
import { startStackProcess, startTemporal } from './stack';

/** From sending the last verdict to an approved request, as a ratio to a bare signal and its workflow's end. */
export const VERDICT = ['verdict'] as const;
const CLIENTS = [1, 16] as const;
const ROUNDS = 4;
const CALLS_A_ROUND = 96;

export async function benchVerdict(_: readonly string[], { servers }: BenchOptions): Promise<Row[]> {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const rows: Row[] = [];
  for (const server of servers) rows.push(...(await benchOn(server)));
  return rows;
}

async function benchOn(server: ServerName): Promise<Row[]> {
  const directory = await mkdtemp(join(tmpdir(), 'atb-bench-'));
  const undo: (() => Promise<void>)[] = [() => rm(directory, { recursive: true, force: true })];
  try {
    say(`${server}: starting a Temporal server, AgentAuth and the worker on it`);
    const temporal = await startTemporal(server, directory);
    undo.push(() => temporal.stop());
    const bare = await startBare(temporal.address);
    undo.push(() => bare.stop());
    const stack = await startStackProcess(temporal.address, join(directory, 'stack'));
    undo.push(() => stack.stop());
    const agents = Array.from({ length: Math.max(...CLIENTS) }, () => new BenchAgent(stack.identities));
    undo.push(() => {
      for (const agent of agents) agent.close();
      return Promise.resolve();
    });
    const prepare = {
      signal: () => bare.waiting(),
      verdict: (client: number) => (agents[client] as BenchAgent).askToApprove(),
    };
    for (const kind of ['signal', 'verdict'] as const) await round(4, prepare[kind]);
    const rows: Row[] = [];
    for (const clients of CLIENTS) {
      const rounds: Record<'signal' | 'verdict', Series[]> = { signal: [], verdict: [] };
      for (let number = 1; number <= ROUNDS; number++) {
        for (const kind of ['signal', 'verdict'] as const) {
          say(`${server}: ${kind}, ${clients} at once, round ${number} of ${ROUNDS}`);
          rounds[kind].push(await round(clients, prepare[kind]));
        }
      }
      const [signal, verdict] = [joined(rounds.signal), joined(rounds.verdict)];
      rows.push({
        ...{ name: 'verdict', server, clients },
        p50_ms: round2(percentile(verdict.latencies, 50)),
        p95_ms: round2(percentile(verdict.latencies, 95)),
        p99_ms: round2(percentile(verdict.latencies, 99)),
        per_second: round2(perSecond(verdict)),
        against: 'signal',
        ratio_p50: round2(percentile(verdict.latencies, 50) / percentile(signal.latencies, 50)),
        ratio_throughput: round2(perSecond(verdict) / perSecond(signal)),
        note: `a bare signal: p50 ${round2(percentile(signal.latencies, 50))} ms`,
      });
    }
    return rows;
  } finally {
    for (const step of undo.reverse()) await step();
  }
}

/** What is sent is prepared before the clock runs: somebody asked, and a person's statement is signed. */
async function round(
  clients: number,
  prepare: (client: number) => Promise<() => Promise<void>>,
): Promise<Series> {
  const mine = await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      const calls: (() => Promise<void>)[] = [];
      for (let n = 0; n < CALLS_A_ROUND / clients; n++) calls.push(await prepare(client));
      return calls;
    }),
  );
  const latencies: number[] = [];
  const start = performance.now();
  await Promise.all(
    mine.map(async (calls) => {
      for (const call of calls) {
        const before = performance.now();
        await call();
        latencies.push(performance.now() - before);
      }
    }),
  );
  return { clients, latencies, seconds: (performance.now() - start) / 1000 };
}
