import type { AuditEvent } from '../../domain/audit-event';
import type { StandingStop, Stops } from '../../domain/ports';
import { TIERS } from '../../domain/policy';
import type { LiftProposal, ListedStop, StopTarget } from '../../domain/stop';

/** Stops that behave, without a database. */
export class MemoryStops implements Stops {
  readonly events: AuditEvent[] = [];
  private readonly stopped = new Map<string, { readonly stoppedAt: Date; lifts: readonly LiftProposal[] }>();

  stop(target: StopTarget, event: AuditEvent): Promise<void> {
    this.events.push(event);
    const key = keyOf(target);
    if (!this.stopped.has(key)) this.stopped.set(key, { stoppedAt: event.time, lifts: [] });
    return Promise.resolve();
  }

  standing(target: StopTarget): Promise<StandingStop | null> {
    return Promise.resolve(this.stopped.get(keyOf(target)) ?? null);
  }

  list(limit: number): Promise<readonly ListedStop[]> {
    const listed = [...this.stopped].map(([key, { stoppedAt, lifts }]) => {
      const [scope, value] = key.split(' ') as [StopTarget['scope'], string];
      return { scope, value, stoppedAt: Math.floor(stoppedAt.getTime() / 1000), lifts };
    });
    return Promise.resolve(listed.slice(0, limit));
  }

  proposeLift(target: StopTarget, lift: LiftProposal, event: AuditEvent): Promise<void> {
    this.events.push(event);
    const standing = this.stopped.get(keyOf(target));
    if (standing) standing.lifts = [...standing.lifts.filter(({ by }) => by !== lift.by), lift];
    return Promise.resolve();
  }

  lift(target: StopTarget, _stoppedAt: Date, event: AuditEvent): Promise<void> {
    this.events.push(event);
    this.stopped.delete(keyOf(target));
    return Promise.resolve();
  }

  incidentsOf(target: StopTarget, since: Date): Promise<readonly string[]> {
    const found = this.eventsOf('poa_stopped', target, since).flatMap(({ data }) => data.incident ?? []);
    return Promise.resolve([...new Set(found as string[])]);
  }

  liftedSince(target: StopTarget, since: Date) {
    const [event] = this.eventsOf('poa_stop_lifted', target, since);
    return Promise.resolve(event ? { by: event.actor, at: event.time } : null);
  }

  private eventsOf(wanted: string, { scope, value }: StopTarget, since: Date): readonly AuditEvent[] {
    return this.events.filter(
      ({ type, data, time }) =>
        type === wanted && data.scope === scope && data.value === value && time >= since,
    );
  }

  against(use: Parameters<Stops['against']>[0]): Promise<readonly StopTarget[]> {
    const concerned: readonly StopTarget[] = [
      { scope: 'everything', value: '*' },
      ...TIERS.map((value) => ({ scope: 'tier', value }) as const),
      { scope: 'agent', value: use.agent },
      { scope: 'request', value: use.requestId },
    ];
    return Promise.resolve(concerned.filter((target) => this.stopped.has(keyOf(target))));
  }

  append(event: AuditEvent): Promise<void> {
    this.events.push(event);
    return Promise.resolve();
  }
}

function keyOf({ scope, value }: StopTarget): string {
  return `${scope} ${value}`;
}
