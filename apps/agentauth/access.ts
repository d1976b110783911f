import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { AccessLog } from '../../adapters/access-log/access-log';
import { loggableRequestId } from '../../domain/access';
import { ServerSpan } from '../../adapters/tracing/server-span';
import { provenCaller } from './caller';

interface AccessFacts {
  readonly traceId: string;
  readonly span: ServerSpan;
  readonly time: Date;
  bytes: number;
  code: string | null;
}

const facts = new WeakMap<IncomingMessage, AccessFacts>();

// Enough for a line's id.
const ID_BYTES = 16;

/** What the access log tells of a call, from its first byte on. */
export function accessOf({ raw }: Pick<FastifyRequest, 'raw'>): AccessFacts {
  const known = facts.get(raw);
  if (known) return known;
  const span = ServerSpan.ofHttp(raw.method, raw.headers);
  const begun: AccessFacts = {
    span,
    traceId: span.traceId,
    time: new Date(),
    bytes: 0,
    code: null,
  };
  facts.set(raw, begun);
  return begun;
}

/** A line for each call that was answered, or broken off, and its span. */
export function logAccess(fastify: FastifyInstance, log: AccessLog): void {
  fastify.addHook('onRequest', (request, _, done) => {
    accessOf(request).span.run(done);
  });
  // Reading the body leaves the trace.
  fastify.addHook('preValidation', (request, _, done) => {
    accessOf(request).span.run(done);
  });
  fastify.addHook('onSend', (request, _, payload, done) => {
    if (typeof payload === 'string' || Buffer.isBuffer(payload))
      accessOf(request).bytes = Buffer.byteLength(payload);
    done(null, payload);
  });
  fastify.addHook('onResponse', (request, reply, done) => {
    const { traceId, span, time, bytes, code } = accessOf(request);
    const status = reply.raw.headersSent ? reply.statusCode : null;
    span.end(request.routeOptions.url ?? null, status, code);
    log.write({
      id: randomBytes(ID_BYTES).toString('base64url'),
      process: 'agentauth',
      ...{ time, traceId },
      client: provenCaller(request)?.spiffeId ?? null,
      method: request.method,
      route: request.routeOptions.url ?? 'none',
      status,
      durationMs: reply.elapsedTime,
      bytes,
      requestId: requestIdIn(request) ?? loggableRequestId(askedIdIn(reply.getHeader('location'))),
      code,
    });
    done();
  });
}

function requestIdIn({ params }: FastifyRequest): string | null {
  const { id } = (params ?? {}) as { id?: unknown };
  return loggableRequestId(typeof id === 'string' ? id : undefined);
}

function askedIdIn(location: unknown): string | undefined {
  return typeof location === 'string' ? /^\/requests\/([^/]+)$/.exec(location)?.[1] : undefined;
}
