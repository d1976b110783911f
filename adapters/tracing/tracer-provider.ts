import { context, diag, DiagLogLevel, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import {
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
} from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor, RandomIdGenerator } from '@opentelemetry/sdk-trace-base';
import type { IdGenerator } from '@opentelemetry/sdk-trace-base';
import { OWN_SPAN_ID } from './span';

// A receiver that does not answer must not hold up the end of a process.
const LAST_FLUSH_MS = 2_000;

class SpanIds implements IdGenerator {
  private readonly random = new RandomIdGenerator();

  generateTraceId(): string {
    return this.random.generateTraceId();
  }

  generateSpanId(): string {
    const own = context.active().getValue(OWN_SPAN_ID);
    return typeof own === 'string' ? own : this.random.generateSpanId();
  }
}

/**
 * Makes spans real for the whole process, and sends them by OTLP over HTTP, as the standard OTEL_ variables say. Nobody
 * waits for the receiver: what it does not take in time is dropped, and `onTrouble` is told.
 */
export function startTracerProvider(
  service: string,
  onTrouble: (message: string) => void,
): () => Promise<void> {
  const silent = () => undefined;
  const logger = { error: onTrouble, warn: onTrouble, info: silent, debug: silent, verbose: silent };
  diag.setLogger(logger, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
  const provider = new BasicTracerProvider({
    // The last one counts: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES.
    resource: defaultResource()
      .merge(resourceFromAttributes({ 'service.name': service }))
      .merge(detectResources({ detectors: [envDetector] })),
    idGenerator: new SpanIds(),
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
  });
  trace.setGlobalTracerProvider(provider);
  return async () => {
    const late = new Promise<void>((resolve) => setTimeout(resolve, LAST_FLUSH_MS).unref());
    await Promise.race([provider.shutdown().catch(silent), late]);
    trace.disable();
    diag.disable();
  };
}
