import { BrokerScene, metricOf, MOST_CLIENTS } from './broker-scene';
import type { Costly } from './broker-scene';
import { joined, percentile, perSecond } from './measure';
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
// In turn, so that what else the machine does falls on both alike.
const ROUNDS = 3;
const SECONDS_A_ROUND = 3;
const WARM_UP_SECONDS = 2;
const SAMPLE_SECONDS = 10;

/** With `seconds`, goes on for that long at the end and tells how the broker's memory stands. */
export async function benchBroker(_: readonly string[], { seconds }: BenchOptions): Promise<Row[]> {
  const scene = await BrokerScene.open();
  try {
    const rows: Row[] = [];
    for (const { clients, processes } of SHAPES) {
      await scene.redeem(clients, processes, WARM_UP_SECONDS);
      await scene.direct(clients, WARM_UP_SECONDS);
      const before = await scene.metrics(processes);
      const redeemed: Costly[] = [];
      const direct: Costly[] = [];
      for (let round = 1; round <= ROUNDS; round++) {
        say(`broker: ${clients} at once, processes: ${processes}, round ${round} of ${ROUNDS}`);
        direct.push(await scene.direct(clients, SECONDS_A_ROUND));
        redeemed.push(await scene.redeem(clients, processes, SECONDS_A_ROUND));
      }
      const after = await scene.metrics(processes);
      const all = joined(redeemed.map(({ series }) => series));
      const bare = joined(direct.map(({ series }) => series));
      rows.push(
        { ...figures('direct', bare), note: cpuOf(direct) },
        {
          ...figures(processes === 1 ? 'broker' : `broker, ${processes} processes`, all),
          against: `direct, ${clients}`,
          ratio_p50: round2(percentile(all.latencies, 50) / percentile(bare.latencies, 50)),
          ratio_throughput: round2(perSecond(all) / perSecond(bare)),
          note: `${cpuOf(redeemed)}; ms a check: ${splitOf(before, after)}`,
        },
      );
    }
    if (seconds > 0) rows.push(await longRun(scene, seconds));
    return rows;
  } finally {
    await scene.close();
  }
}

async function longRun(scene: BrokerScene, seconds: number): Promise<Row> {
  const memory: number[] = [];
  const rounds: Costly[] = [];
  for (let left = seconds; left > 0; left -= SAMPLE_SECONDS) {
    rounds.push(await scene.redeem(MOST_CLIENTS, 1, Math.min(left, SAMPLE_SECONDS)));
    memory.push(
      Math.round((metricOf(await scene.metrics(1), 'process_resident_memory_bytes') ?? 0) / 2 ** 20),
    );
  }
  const half = Math.floor(memory.length / 2);
  const note = `MiB resident every ${SAMPLE_SECONDS} s of redeeming: ${memory.join(' ')}; the most in the first half ${Math.max(...memory.slice(0, half || 1))}, in the second ${Math.max(...memory.slice(half))}`;
  return { ...figures('broker', joined(rounds.map(({ series }) => series))), against: 'itself', note };
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

/** What each who took part computed for one call: the same whatever else the machine does. */
function cpuOf(rounds: readonly Costly[]): string {
  const calls = rounds.reduce((sum, { series }) => sum + series.latencies.length, 0);
  const each = (name: keyof Costly['cpuMs']) =>
    (rounds.reduce((sum, { cpuMs }) => sum + cpuMs[name], 0) / calls).toFixed(3);
  return `CPU ms a call: client ${each('client')}, system behind ${each('system')}, broker ${each('broker')}`;
}
