import { Counter, Gauge } from 'prom-client';
import type { Registry } from 'prom-client';
import type { AtbError } from '../../domain/error';

/** What the sealing tells of itself. */
export function sealingMetrics(registry: Registry) {
  const registers = [registry];
  return {
    size: new Gauge({ name: 'atb_log_size', help: 'Events in the last checkpoint', registers }),
    sealedAt: new Gauge({
      name: 'atb_log_sealed_timestamp_seconds',
      help: 'When all that was recorded was last found to be sealed',
      registers,
    }),
    failed: new Counter({
      name: 'atb_log_rounds_failed_total',
      help: 'Rounds that ended without a checkpoint, the database or the store being out of reach',
      registers,
    }),
  };
}

/** What the copying tells of itself. */
export function mirrorMetrics(registry: Registry, lag: () => number) {
  const registers = [registry];
  new Gauge({
    name: 'atb_log_mirror_lag_events',
    help: 'Events that are sealed and not in the copy yet',
    registers,
    collect() {
      this.set(lag());
    },
  });
  return {
    size: new Gauge({
      name: 'atb_log_mirrored_size',
      help: 'Events in the last checkpoint of the copy under the WORM lock',
      registers,
    }),
    copiedAt: new Gauge({
      name: 'atb_log_mirrored_timestamp_seconds',
      help: 'When the copy was last found to have all that was sealed',
      registers,
    }),
    failed: new Counter({
      name: 'atb_log_mirror_rounds_failed_total',
      help: 'Rounds that ended before the copy was up to date',
      registers,
    }),
  };
}

/** What the witnesses did, told on as well. */
export function witnessMetrics(registry: Registry, onTrouble: (error: AtbError) => void) {
  const registers = [registry];
  const cosigned = new Gauge({
    name: 'atb_log_cosignatures',
    help: 'Witnesses that cosigned the last checkpoint',
    registers,
  });
  const refused = new Counter({
    name: 'atb_log_witness_refusals_total',
    help: 'Times that a witness was asked and did not cosign',
    labelNames: ['witness'],
    registers,
  });
  return {
    cosigned: (count: number) => {
      cosigned.set(count);
    },
    refused: (witness: string, error: AtbError) => {
      refused.inc({ witness });
      onTrouble(error);
    },
  };
}

/** What the time-stamping tells of itself. */
export function timestampMetrics(registry: Registry) {
  const registers = [registry];
  return {
    stampedAt: new Gauge({
      name: 'atb_log_stamped_timestamp_seconds',
      help: 'When all that was sealed was last found to be time-stamped',
      registers,
    }),
    failed: new Counter({
      name: 'atb_log_stamps_failed_total',
      help: 'Times that the time-stamping authority was asked and did not stamp',
      registers,
    }),
  };
}
