import type { VelocityLimit, VelocityRoom } from '../domain/velocity';
import { epochSeconds } from './assessment';
import type { ActivityPorts } from './ports';

/** How the limits stand now; takes nothing. */
export async function roomOf(
  ports: ActivityPorts,
  limits: readonly VelocityLimit[],
): Promise<readonly VelocityRoom[]> {
  const standings = await ports.ledger.velocityOf(limits, ports.clock());
  return standings.map(({ rule, most, windowSeconds, taken, resetsAt }) => ({
    ...{ rule, most, windowSeconds, taken, resetsAt: epochSeconds(resetsAt) },
  }));
}
