import { inspect } from 'node:util';
import { Logger } from '@nestjs/common';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import type { LogEntry, TelemetryOptions } from '@temporalio/worker';

// That Temporal is away lasts, each of the SDK's many calls says so each time it is tried again, and it is one thing to know.
const TELL_AGAIN_MS = 60_000;
const RETRIED = /^gRPC call \w+ retried \d+ times$/;
const REASON = /\bmessage: "([^"]*)"/;

export interface SdkOptions {
  /** What is less is not told. */
  readonly level: 'WARN' | 'ERROR';
  /** Where its own metrics are told: seconds, and counters that end in `_total`. */
  readonly metricsAddress?: string | undefined;
}

/** Temporal's SDK in this process, before anything uses it. What it and its core say goes to our log. */
export function installTemporalSdk({ level, metricsAddress }: SdkOptions): void {
  const metrics: TelemetryOptions['metrics'] =
    metricsAddress === undefined
      ? undefined
      : {
          prometheus: {
            bindAddress: metricsAddress,
            ...{ countersTotalSuffix: true, useSecondsForDurations: true, unitSuffix: true },
          },
        };
  Runtime.install({
    logger: new DefaultLogger(level, sdkLog(new Logger('Temporal'))),
    shutdownSignals: [],
    telemetryOptions: {
      logging: { filter: { core: level, other: 'ERROR' }, forward: {} },
      ...(metrics && { metrics }),
    },
  });
}

/** Writes what the SDK says; calls that are tried again because Temporal is away are one line a minute. */
export function sdkLog(
  log: Pick<Logger, 'error' | 'warn'>,
  now = () => performance.now(),
): (entry: LogEntry) => void {
  let toldAt = Number.NEGATIVE_INFINITY;
  return ({ level, message, meta }) => {
    const error = String(meta?.error ?? '');
    if (RETRIED.test(message) && error.includes('Unavailable')) {
      if (now() - toldAt < TELL_AGAIN_MS) return;
      toldAt = now();
      log.warn(
        `Temporal does not answer (${REASON.exec(error)?.[1] ?? 'no reason given'}): calls are tried again`,
      );
      return;
    }
    const line = meta === undefined ? message : `${message} ${inspect(meta, { breakLength: Infinity })}`;
    if (level === 'ERROR') log.error(line);
    else log.warn(line);
  };
}
