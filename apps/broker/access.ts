import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AccessLog } from '../../adapters/access-log/access-log';
import { ServerSpan } from '../../adapters/tracing/server-span';
import { loggableRequestId } from '../../domain/access';
import { randomId } from '../../adapters/random-id';
import { nothingKnown } from './redemption';
import type { Known } from './redemption';

/** What the access log tells of one call; filled in as the call is understood. */
export interface CallAccess {
  readonly known: Known;
  /** The way in, where it is not the proxy's; the route of a connector that was called by it comes first. */
  entry: string | null;
  bytes: number;
  code: string | null;
}

/** Follows a call until its answer has ended, or broken off, and writes its line then; its span ends there too. */
export function followCall(
  log: AccessLog,
  request: IncomingMessage,
  response: ServerResponse,
): { readonly access: CallAccess; readonly span: ServerSpan } {
  const span = ServerSpan.ofHttp(request.method, request.headers);
  const access = callAccess(span.traceId);
  const time = new Date();
  const startedAt = performance.now();
  response.once('close', () => {
    const durationMs = performance.now() - startedAt;
    const status = response.headersSent ? response.statusCode : null;
    if (access.bytes === 0 && status !== null)
      access.bytes = Number(response.getHeader('content-length') ?? 0);
    writeCall(log, access, { time, durationMs, status, method: request.method ?? 'none' });
    span.end(routeOf(access), status, access.code);
  });
  return { access, span };
}

/** A call that never became a request: its line is written with its refusal. */
export function logUnreadable(log: AccessLog, access: CallAccess, code: string, status: number): void {
  writeCall(log, { ...access, code }, { time: new Date(), durationMs: 0, status, method: 'none' });
}

/** A call that came by another protocol, with the status that it would have had. */
export function logCheck(
  log: AccessLog,
  access: CallAccess,
  {
    startedAt,
    status,
    method,
  }: { readonly startedAt: number; readonly status: number; readonly method: string },
): void {
  const durationMs = performance.now() - startedAt;
  writeCall(log, access, { time: new Date(Date.now() - durationMs), durationMs, status, method });
}

export function callAccess(traceId: string): CallAccess {
  return { known: nothingKnown(traceId), entry: null, bytes: 0, code: null };
}

function writeCall(
  log: AccessLog,
  { known, entry, bytes, code }: CallAccess,
  call: {
    readonly time: Date;
    readonly durationMs: number;
    readonly status: number | null;
    readonly method: string;
  },
): void {
  const { agent, mandate, traceId } = known;
  log.write({
    id: randomId('base64url'),
    process: 'broker',
    client: agent,
    route: routeOf({ known, entry }) ?? 'none',
    requestId: loggableRequestId(mandate?.req),
    ...{ ...call, traceId, bytes, code },
  });
}

function routeOf({ known: { match }, entry }: Pick<CallAccess, 'known' | 'entry'>): string | null {
  return match === null ? entry : `/c/${match.connector.id}${match.route.path}`;
}
