import { Logger } from '@nestjs/common';
import { cutShort } from '../domain/foreign-text';
import { Environment } from './environment';

const SAMPLERS = [
  ...(['always_on', 'always_off', 'traceidratio'] as const),
  ...(['parentbased_always_on', 'parentbased_always_off', 'parentbased_traceidratio'] as const),
];

// Trouble with the receiver lasts, and is one thing to know.
const TELL_AGAIN_MS = 60_000;
const WORDS = 300;

export interface Tracing {
  /** Sends what waits, for two seconds at most. */
  close(): Promise<void>;
}

/**
 * Traces, where OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT says where they go; without it no
 * tracer is loaded. Throws `configuration_invalid`.
 */
export async function openTracing(
  service: string,
  variables: Readonly<Record<string, string | undefined>> = process.env,
): Promise<Tracing> {
  const environment = new Environment(variables);
  const isOff = environment.flag('OTEL_SDK_DISABLED', false);
  const endpoints = [
    environment.httpUrl('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'),
    environment.httpUrl('OTEL_EXPORTER_OTLP_ENDPOINT'),
  ];
  // What else OpenTelemetry reads, it reads itself; a sampler with a typo in it would be another than was meant.
  environment.oneOf('OTEL_TRACES_SAMPLER', SAMPLERS, 'parentbased_always_on');
  environment.finish('tracing');
  if (isOff || endpoints.every((endpoint) => endpoint === undefined)) {
    return { close: () => Promise.resolve() };
  }
  const log = new Logger('Traces');
  let toldAt = -TELL_AGAIN_MS;
  const { startTracerProvider } = await import('../adapters/tracing/tracer-provider.js');
  const close = startTracerProvider(service, (message) => {
    if (performance.now() - toldAt < TELL_AGAIN_MS) return;
    toldAt = performance.now();
    log.warn(cutShort(message, WORDS));
  });
  return { close };
}
