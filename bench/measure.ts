/** What one series of calls took. Times are milliseconds. */
export interface Series {
  readonly clients: number;
  readonly latencies: readonly number[];
  readonly seconds: number;
}

/**
 * Runs `call` with a number of clients at once, each waiting for its answer before it asks again, until the time is
 * over. Every call must succeed: a figure made of refusals would say nothing.
 */
export async function measure(
  clients: number,
  seconds: number,
  call: (client: number) => Promise<void>,
): Promise<Series> {
  const latencies: number[] = [];
  const start = performance.now();
  const end = start + seconds * 1000;
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      while (performance.now() < end) {
        const before = performance.now();
        await call(client);
        latencies.push(performance.now() - before);
      }
    }),
  );
  return { clients, latencies, seconds: (performance.now() - start) / 1000 };
}

/** Joins the rounds of one series. */
export function joined(rounds: readonly Series[]): Series {
  return {
    clients: rounds[0]?.clients ?? 0,
    latencies: rounds.flatMap(({ latencies }) => latencies),
    seconds: rounds.reduce((sum, { seconds }) => sum + seconds, 0),
  };
}

export function percentile(latencies: readonly number[], p: number): number {
  const sorted = [...latencies].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor((p / 100) * sorted.length))] ?? Number.NaN;
}

export function perSecond({ latencies, seconds }: Series): number {
  return latencies.length / seconds;
}
