import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { BenchAgent } from './agent';
import { joined, measure, percentile, perSecond } from './measure';
import type { Series } from './measure';
import { round2, say } from './report';
import type { BenchOptions, Row, ServerName } from './report';
import { startStackProcess, startTemporal } from './stack';

/** A new low-tier request while many wait for people, as a ratio to an idle system; and what one that waits takes. */
export const PENDING = ['pending-5000'] as const;
const WAITING = 5_000;
const ASKING_AT_ONCE = 16;
const ROUNDS = 4;
const SECONDS_A_ROUND = 3;
// By whole seconds of CPU, so over a long while: under a fifth of a core.
const LOOK_MS = 10_000;
const RESTING_CPU_SECONDS = 1;
const MOST_LOOKS = 60;

const run = promisify(execFile);

export async function benchPending(_: readonly string[], { servers }: BenchOptions): Promise<Row[]> {
  const rows: Row[] = [];
  for (const server of servers) rows.push(await benchOn(server));
  return rows;
}

async function benchOn(server: ServerName): Promise<Row> {
  const directory = await mkdtemp(join(tmpdir(), 'atb-bench-'));
  const undo: (() => Promise<void>)[] = [() => rm(directory, { recursive: true, force: true })];
  try {
    say(`${server}: starting a Temporal server, AgentAuth and the worker on it`);
    const temporal = await startTemporal(server, directory);
    undo.push(() => temporal.stop());
    const stack = await startStackProcess(temporal.address, join(directory, 'stack'));
    undo.push(() => stack.stop());
    const agents = Array.from({ length: ASKING_AT_ONCE }, () => new BenchAgent(stack.identities));
    undo.push(() => {
      for (const agent of agents) agent.close();
      return Promise.resolve();
    });
    const lowTier = () => low(server, agents[0] as BenchAgent);
    await lowTier();
    const idle = await lowTier();
    const memory = async () => ({
      stack: await residentKib(stack.pid),
      temporal: temporal.pid === undefined ? undefined : await residentKib(temporal.pid),
    });
    const before = await memory();
    let left = WAITING;
    await Promise.all(
      agents.map(async (agent) => {
        while (left > 0) {
          if (left-- % 500 === 0) say(`${server}: ${left + 1} more must wait`);
          await agent.askMedium();
        }
      }),
    );
    await atRest(server, stack.pid);
    const after = await memory();
    const busy = await lowTier();
    const each = (from: number, to: number) => `${round2((to - from) / WAITING)} KiB`;
    return {
      ...{ name: 'pending-5000', server, clients: 1 },
      p50_ms: round2(percentile(busy.latencies, 50)),
      p95_ms: round2(percentile(busy.latencies, 95)),
      p99_ms: round2(percentile(busy.latencies, 99)),
      per_second: round2(perSecond(busy)),
      against: 'idle',
      ratio_p50: round2(percentile(busy.latencies, 50) / percentile(idle.latencies, 50)),
      ratio_throughput: round2(perSecond(busy) / perSecond(idle)),
      note:
        `one that waits: AgentAuth and worker ${each(before.stack, after.stack)}` +
        (before.temporal === undefined || after.temporal === undefined
          ? ''
          : `, Temporal ${each(before.temporal, after.temporal)}`),
    };
  } finally {
    for (const step of undo.reverse()) await step();
  }
}

async function low(server: ServerName, agent: BenchAgent): Promise<Series> {
  const rounds: Series[] = [];
  for (let number = 1; number <= ROUNDS; number++) {
    say(`${server}: low tier, round ${number} of ${ROUNDS}`);
    rounds.push(
      await measure(1, SECONDS_A_ROUND, async () => {
        await agent.issueLow();
      }),
    );
  }
  return joined(rounds);
}

/** Waits until what the asking set off is done: people told, advisers asked. Then they only wait. */
async function atRest(server: ServerName, pid: number): Promise<void> {
  for (let looks = 0; looks < MOST_LOOKS; looks++) {
    const before = await ofProcess(pid, 'cputimes');
    await sleep(LOOK_MS);
    const used = (await ofProcess(pid, 'cputimes')) - before;
    if (used <= RESTING_CPU_SECONDS) return;
    say(`${server}: not at rest yet: ${used} s of CPU in the last ${LOOK_MS / 1000} s`);
  }
  throw new Error('the stack does not come to rest while requests wait');
}

/** The memory that a process holds. */
function residentKib(pid: number): Promise<number> {
  return ofProcess(pid, 'rss');
}

/** POSIX, but for `cputimes`, which is of Linux and the BSDs. */
async function ofProcess(pid: number, what: 'rss' | 'cputimes'): Promise<number> {
  const { stdout } = await run('ps', ['-o', `${what}=`, '-p', String(pid)]);
  return Number(stdout.trim());
}
