import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { candidateMetrics } from '../policy-candidate';
import { CHECKS } from './redemption';
import type { Check } from './redemption';

/** One broker's metrics. Labels come from closed sets: configured connectors, codes, checks (attack 37). */
export class BrokerMetrics {
  readonly registry = new Registry();
  /** Uses that a candidate policy was asked about too, and the share that it decides. */
  readonly candidate = candidateMetrics(this.registry);
  private readonly redemptions = new Counter({
    name: 'atb_redemptions_total',
    help: 'Calls by connector and outcome: allowed, or the code of the refusal',
    labelNames: ['connector', 'outcome'] as const,
    registers: [this.registry],
  });
  private readonly duration = new Histogram({
    name: 'atb_redemption_duration_seconds',
    help: 'Time from the head of a call to the end of its answer',
    labelNames: ['connector'] as const,
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30],
    registers: [this.registry],
  });
  private readonly checks = new Histogram({
    name: 'atb_redemption_check_seconds',
    help: 'Time that each check took',
    labelNames: ['check'] as const,
    buckets: [0.00001, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.1],
    registers: [this.registry],
  });
  private readonly unrecorded = new Counter({
    name: 'atb_audit_unrecorded_total',
    help: 'Events that could not be written: the audit log has a gap where this is not zero',
    registers: [this.registry],
  });
  private readonly givenBack = new Counter({
    name: 'atb_mandates_given_back_total',
    help: 'Mandates that became usable again because nothing was sent',
    registers: [this.registry],
  });
  readonly connections = new Gauge({
    name: 'atb_broker_connections',
    help: 'Open connections of agents',
    registers: [this.registry],
  });

  /** Each looked up once: every call is counted in all of them. */
  private readonly byCheck = new Map(CHECKS.map((check) => [check, this.checks.labels({ check })] as const));

  constructor(private readonly connectors: ReadonlySet<string>) {
    collectDefaultMetrics({ register: this.registry });
  }

  decided(connector: string | null, outcome: string): void {
    this.redemptions.inc({ connector: this.known(connector), outcome });
  }

  answered(connector: string, seconds: number): void {
    this.duration.observe({ connector: this.known(connector) }, seconds);
  }

  checked(check: Check, milliseconds: number): void {
    this.byCheck.get(check)?.observe(milliseconds / 1000);
  }

  lost(): void {
    this.unrecorded.inc();
  }

  returned(): void {
    this.givenBack.inc();
  }

  private known(connector: string | null): string {
    return connector !== null && this.connectors.has(connector) ? connector : 'none';
  }
}
