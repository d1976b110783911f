/** A request that waits, as Temporal's search attributes tell it. */
export interface Candidate {
  readonly requestId: string;
  readonly tier: string;
  /** Whether it waits for a role of whoever looks. */
  readonly mine: boolean;
  /** Epoch milliseconds. */
  readonly since: number;
}

/**
 * Which requests are looked at where they are more than one look takes: those that wait for whoever looks, and of these
 * the oldest of each tier in turn. Within a tier the oldest expires first; a tier with many requests, or with long clocks,
 * hides none of the others.
 */
export function lookedAt(candidates: readonly Candidate[], most: number): readonly string[] {
  const places = new Map<string, number>();
  return [...candidates]
    .sort((a, b) => a.since - b.since)
    .map((candidate) => {
      const line = `${candidate.mine} ${candidate.tier}`;
      const place = places.get(line) ?? 0;
      places.set(line, place + 1);
      return { ...candidate, place };
    })
    .sort((a, b) => Number(b.mine) - Number(a.mine) || a.place - b.place || a.since - b.since)
    .slice(0, most)
    .map(({ requestId }) => requestId);
}
