import type { Removal } from '../domain/retention';
import type { ActivityPorts } from './ports';
import type { RetentionInput } from './types';

const DAY_SECONDS = 86_400;
// An event names what was removed, and has an end; the next round removes the rest.
const MOST_AT_ONCE = 250;

/** What is older than its store keeps it. Removes nothing. */
export async function planRetention(ports: ActivityPorts): Promise<readonly Removal[]> {
  const now = Math.floor(ports.clock().getTime() / 1_000);
  return Promise.all(
    ports.agingStores.map(async (store): Promise<Removal> => {
      const { kind, place, days } = store;
      const before = now - days * DAY_SECONDS;
      return {
        kind,
        place,
        days,
        before,
        aged: await store.agedBefore(new Date(before * 1_000), MOST_AT_ONCE),
      };
    }),
  );
}

/**
 * Records what is removed, then removes it: a crash between leaves an event, never a removal that nobody knows of, and the
 * next attempt removes the same. It takes from the plan only what is aged by its own look too.
 */
export async function applyRetention(ports: ActivityPorts, input: RetentionInput): Promise<void> {
  await ports.ledger.append({
    id: `retention_applied/${input.run}`,
    type: 'retention_applied',
    time: ports.clock(),
    requestId: null,
    actor: ports.issuer,
    subject: null,
    action: null,
    tier: null,
    reasons: [],
    data: {
      stores: input.removals.map(({ kind, place, days, before, aged }) => ({
        ...{ kind, place, days, before },
        removed: aged.map(({ name }) => name),
        bytes: aged.reduce((sum, { bytes }) => sum + bytes, 0),
      })),
    },
  });
  for (const { place, before, aged } of input.removals) {
    const store = ports.agingStores.find((each) => each.place === place);
    if (!store) continue;
    const still = new Set(
      (await store.agedBefore(new Date(before * 1_000), MOST_AT_ONCE)).map(({ name }) => name),
    );
    await store.remove(aged.map(({ name }) => name).filter((name) => still.has(name)));
  }
}
