import { join } from 'node:path';
import { Logger } from '@nestjs/common';
import { Counter } from 'prom-client';
import type { Registry } from 'prom-client';
import { AccessLog } from '../adapters/access-log/access-log';
import { readDestinations } from '../adapters/access-log/destinations';
import { Exporter } from '../adapters/access-log/exporter';
import type { Access } from '../domain/access';
import type { Environment } from './environment';

export interface AccessLogConfiguration {
  readonly stdout: boolean;
  /** A folder of the process's own; undefined where no files are kept. */
  readonly folder: string | undefined;
  readonly segmentBytes: number;
  readonly mostBytes: number;
  /** Where lines are exported to, besides. */
  readonly destinationsFile: string | undefined;
}

const MEBIBYTE = 1024 * 1024;

export function accessLogConfiguration(
  environment: Environment,
  process: Access['process'],
): AccessLogConfiguration {
  const destinationsFile = environment.optional('ATB_ACCESS_LOG_DESTINATIONS_FILE');
  const directory =
    destinationsFile === undefined
      ? environment.optional('ATB_ACCESS_LOG_DIR')
      : environment.required('ATB_ACCESS_LOG_DIR');
  return {
    stdout: environment.flag('ATB_ACCESS_LOG_STDOUT', true),
    folder: directory === undefined ? undefined : join(directory, process),
    segmentBytes: MEBIBYTE * environment.integer('ATB_ACCESS_LOG_FILE_MIB', 16, { min: 1, max: 4_096 }),
    mostBytes: MEBIBYTE * environment.integer('ATB_ACCESS_LOG_MAX_MIB', 4_096, { min: 2, max: 16_777_216 }),
    destinationsFile,
  };
}

// Trouble with a destination lasts, and is one thing to know.
const TELL_AGAIN_MS = 60_000;

/** The access log that is configured, at work, with its metrics. Throws `configuration_invalid`. */
export async function openAccessLog(
  configuration: AccessLogConfiguration,
  registry: Registry,
): Promise<AccessLog> {
  const { folder, destinationsFile } = configuration;
  const destinations = destinationsFile === undefined ? [] : await readDestinations(destinationsFile);
  const counters = {
    lines: counter(registry, 'atb_access_log_lines_total', 'Lines of the access log'),
    dropped: counter(
      registry,
      'atb_access_log_dropped_total',
      'Lines that stdout, the file or a destination never got: what waited was at its bound',
      ['where'],
    ),
    exported: counter(registry, 'atb_access_log_exported_total', 'Lines that a destination took', [
      'destination',
    ]),
    refused: counter(registry, 'atb_access_log_refused_total', 'Lines that a destination will never take', [
      'destination',
    ]),
  };
  for (const where of ['stdout', 'file', ...destinations.map(({ name }) => name)])
    counters.dropped.inc({ where }, 0);
  const log = new Logger('AccessLog');
  const told = new Map<string, number>();
  const watch = {
    written: () => {
      counters.lines.inc();
    },
    dropped: (where: string, lines: number) => {
      counters.dropped.inc({ where }, lines);
    },
    exported: (destination: string, lines: number) => {
      counters.exported.inc({ destination }, lines);
    },
    refused: (destination: string, lines: number) => {
      counters.refused.inc({ destination }, lines);
    },
    trouble: (message: string) => {
      if (Date.now() - (told.get(message) ?? 0) < TELL_AGAIN_MS) return;
      if (told.size > 100) told.clear();
      told.set(message, Date.now());
      log.warn(message);
    },
  };
  const exporters =
    folder === undefined ? [] : destinations.map((destination) => new Exporter(folder, destination, watch));
  return AccessLog.open(configuration, watch, exporters);
}

/** A stack that is started again in one process counts anew. */
function counter(registry: Registry, name: string, help: string, labelNames: string[] = []): Counter {
  registry.removeSingleMetric(name);
  return new Counter({ name, help, labelNames, registers: [registry] });
}
