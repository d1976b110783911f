import { recollectionOf } from '../domain/recollection';
import type { Recollection } from '../domain/recollection';
import type { ActivityPorts } from './ports';

// A request has some dozens of events; noise about it ends (workflows/rejected-signals.ts).
const EVENTS = 10_000;

/** Where a request ended, by the log alone: for when Temporal has forgotten it. Null where the log has none. */
export async function recollect(ports: ActivityPorts, requestId: string): Promise<Recollection | null> {
  return recollectionOf(requestId, await ports.ledger.events({ requestId, limit: EVENTS }));
}
