import { Gauge, Histogram, Registry } from 'prom-client';
import type { Activities } from '../../activities/types';
import type { PostgresChanges } from '../../adapters/postgres/changes';
import type { PendingAges } from '../../adapters/postgres/pending-ages';
import { candidateMetrics } from '../policy-candidate';

/** The shortest response times of operating model §5, as upper ends of ages; the last is open. */
export const AGES = [
  { age: '15m', belowSeconds: 900 },
  { age: '1h', belowSeconds: 3_600 },
  { age: '4h', belowSeconds: 14_400 },
  { age: '1d', belowSeconds: 86_400 },
  { age: 'older', belowSeconds: Number.POSITIVE_INFINITY },
] as const;

/** A worker's metrics. Labels come from closed sets: tiers, ages (attack 37). */
export class WorkerMetrics {
  readonly registry = new Registry();
  private readonly timeToApproval = new Histogram({
    name: 'atb_poa_time_to_approval_seconds',
    help: 'From the request until nothing was outstanding any more, by tier',
    labelNames: ['tier'] as const,
    buckets: [60, 300, 900, 1_800, 3_600, 7_200, 14_400, 43_200, 86_400],
    registers: [this.registry],
  });

  /** Decisions that a candidate policy was asked for too, and the share that it decides. */
  readonly candidate = candidateMetrics(this.registry);

  /** Requests that wait for people, counted when somebody looks. */
  watchPending(ages: Pick<PendingAges, 'count'>): void {
    new Gauge({
      name: 'atb_poa_pending_requests',
      help: 'Requests that wait for people, by how long they have: below 15m, 1h, 4h, 1d, or older',
      labelNames: ['age'],
      registers: [this.registry],
      async collect() {
        this.reset();
        const counts = await ages.count(AGES.map(({ belowSeconds }) => belowSeconds));
        // Where the database is out of reach there is no number, rather than an old one.
        if (counts)
          AGES.forEach(({ age }, at) => {
            this.set({ age }, counts[at] ?? 0);
          });
      },
    });
  }

  /** How far what opens incidents is behind the audit log, asked for when somebody looks. */
  watchIncidents(watched: { lagSeconds(): Promise<number> }): void {
    new Gauge({
      name: 'atb_incident_watch_lag_seconds',
      help: 'How old the oldest event of the audit log is that was not looked at yet for what opens incidents',
      registers: [this.registry],
      async collect() {
        // Where the database is out of reach there is no number, rather than an old one.
        this.remove();
        const lag = await watched.lagSeconds().catch(() => undefined);
        if (lag !== undefined) this.set(lag);
      },
    });
  }

  /** Changes of production, counted when somebody looks. */
  watchChanges(changes: Pick<PostgresChanges, 'countUnderWay'>): void {
    new Gauge({
      name: 'atb_changes_under_way',
      help: 'Changes that began and have not ended, by whether their window is over',
      labelNames: ['window'],
      registers: [this.registry],
      async collect() {
        this.reset();
        // As above: no number rather than an old one.
        const counted = await changes.countUnderWay().catch(() => undefined);
        if (!counted) return;
        this.set({ window: 'over' }, counted.overdue);
        this.set({ window: 'open' }, counted.underWay - counted.overdue);
      },
    });
  }

  /** The activities, with what they bring about measured. */
  measured(activities: Activities): Activities {
    return {
      ...activities,
      recordVerdict: async (input) => {
        const outcome = await activities.recordVerdict(input);
        if (outcome.outcome === 'counted' && outcome.effect === 'issue') {
          const { tier } = outcome.assessment;
          this.timeToApproval.observe({ tier }, Date.now() / 1_000 - input.request.evidence.presentedAt);
        }
        return outcome;
      },
    };
  }
}
