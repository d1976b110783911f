import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { Server } from 'node:https';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Credentials } from '../../adapters/credential/credentials';
import { PresentedChains, rotateServerCertificate, serverTlsOptions } from '../../adapters/spiffe';
import type { OwnIdentity } from '../../adapters/spiffe';
import { clientSpan } from '../../adapters/tracing/client-span';
import { ServerSpan } from '../../adapters/tracing/server-span';
import { traceHeaders } from '../../adapters/tracing/span';
import { NeverConnected } from '../../adapters/upstream/received-answer';
import type { UpstreamAnswer } from '../../adapters/upstream/received-answer';
import type { Upstream } from '../../adapters/upstream/upstream';
import { AtbError, isAboutCertificate, isAtbError, isRetryable, statusOf } from '../../domain/error';
import type { AccessLog } from '../../adapters/access-log/access-log';
import { problemOf } from '../problem-details';
import { callAccess, followCall, logUnreadable } from './access';
import type { CallAccess } from './access';
import type { AnswerInspection } from './answer-inspection';
import { StreamedAnswer } from './answer-sink';
import type { AnswerSink } from './answer-sink';
import { CALL_METHODS, parseCallHeaders, parseCallTarget } from './call';
import type { Call } from './call';
import { agentHeaders, refuseConnectionTricks, upstreamHeaders } from './headers';
import { bodyOf } from './body';
import type { Entry } from './entry';
import type { BrokerMetrics } from './metrics';
import { persistently } from './persistently';
import type { Permission, RedemptionOutcome, Redemptions } from './redemption';
import type { Reversals } from './reversals';

export interface ProxyOptions {
  readonly identity: OwnIdentity;
  /** Where agents reach the broker; `https://localhost:<port>` where it is not told. */
  readonly publicUrl: string | undefined;
  readonly maxConnections: number;
  readonly maxHeaderBytes: number;
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
}

export interface ProxyParts {
  readonly redemptions: Redemptions;
  readonly reversals: Pick<Reversals, 'oweIfReported'>;
  /** By the connector's id. */
  readonly upstreams: ReadonlyMap<string, Upstream>;
  readonly credentials: Credentials;
  readonly metrics: BrokerMetrics;
  readonly accessLog: AccessLog;
  /** Told what is no agent's to know. */
  readonly onDefect: (error: unknown) => void;
}

const RETRY_AFTER_SECONDS = 1;
const KEEP_ALIVE_MS = 72_000;
/** What checks, credentials and AgentAuth may take, beside the system behind. */
const OUR_PART_MS = 15_000;
const RECORD_AGAIN_AFTER_MS = [0, 100, 1_000, 5_000];

/**
 * The reverse proxy: takes calls apart without repairing them, asks whether they may be made, makes them, and hands
 * the answer on as it comes.
 */
export class Proxy {
  readonly server: Server;
  /** The other ways in, each with its paths. */
  private entries: readonly Entry[] = [];
  private port = 0;
  private readonly chains = new PresentedChains();
  /** Where nothing moves for longer than a call may take, its answer is not being read. */
  private readonly quietMs: number;
  /** Outcomes that are being written: a shutdown waits for them. */
  private readonly recording = new Set<Promise<void>>();
  /** The last call on each connection that is not answered yet. */
  private readonly underWay = new WeakMap<
    Socket,
    { readonly request: IncomingMessage; readonly response: ServerResponse }
  >();

  constructor(
    private readonly options: ProxyOptions,
    private readonly parts: ProxyParts,
  ) {
    this.server = createServer(
      {
        // Any certificate may come in, so that the refusal can say what is wrong with it.
        ...serverTlsOptions(options.identity),
        // A handshake is the first of a call's headers.
        handshakeTimeout: options.headersTimeoutMs,
        headersTimeout: options.headersTimeoutMs,
        requestTimeout: options.requestTimeoutMs,
        connectionsCheckingInterval: 500,
        keepAliveTimeout: KEEP_ALIVE_MS,
        maxHeaderSize: options.maxHeaderBytes,
        insecureHTTPParser: false,
        // Duplicates are for us to see, and to refuse.
        joinDuplicateHeaders: false,
        // Ours to refuse, with a code and a record.
        requireHostHeader: false,
      },
      (request, response) => {
        this.serve(request, response);
      },
    );
    rotateServerCertificate(this.server, options.identity);
    this.server.maxConnections = options.maxConnections;
    const longest = [...parts.upstreams.values()].map(({ connector }) => connector.timeouts.totalMs);
    this.quietMs = options.requestTimeoutMs + Math.max(0, ...longest) + OUR_PART_MS;
    // Node would leave out what is more, unseen, and a gateway in front of us would not. Bounded by their bytes.
    this.server.maxHeadersCount = 0;
    this.server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
      this.serve(request, response);
    });
    this.server.on('upgrade', (_, socket) => {
      void this.refuseRaw(socket as Socket, 'upgrade_refused', 'connections are not upgraded here');
    });
    this.server.on('connect', (_, socket) => {
      void this.refuseRaw(socket as Socket, 'method_not_allowed', 'CONNECT is not for here');
    });
    this.server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
      this.refuseUnreadable(error, socket);
    });
    this.server.on('connection', (socket) => {
      parts.metrics.connections.inc();
      socket.once('close', () => {
        parts.metrics.connections.dec();
      });
    });
  }

  /** What DPoP proofs must be for: never the `Host` that a call names. */
  get publicUrl(): string {
    return this.options.publicUrl ?? `https://localhost:${this.port}`;
  }

  /** Before it listens. */
  enter(entries: readonly Entry[]): void {
    this.entries = entries;
  }

  listen(port: number, host: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(port, host, () => {
        this.server.off('error', reject);
        const address = this.server.address();
        this.port = typeof address === 'object' && address !== null ? address.port : port;
        resolve();
      });
    });
  }

  /** Takes no new connections, lets calls in flight end for a while, and waits until what came of them is written. */
  async close(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.server.close(() => {
        resolve();
      });
    });
    this.server.closeIdleConnections();
    const timer = setTimeout(() => {
      this.server.closeAllConnections();
    }, graceMs);
    await closed;
    clearTimeout(timer);
    await Promise.all(this.recording);
  }

  private serve(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    // Until its answer is out, when Node waits for the next call instead.
    socket.setTimeout(this.quietMs);
    this.underWay.set(socket, { request, response });
    response.once('close', () => {
      if (this.underWay.get(socket)?.response === response) this.underWay.delete(socket);
    });
    const { access, span } = followCall(this.parts.accessLog, request, response);
    void span.run(() => this.answer(request, response, access));
  }

  private async answer(
    request: IncomingMessage,
    response: ServerResponse,
    access: CallAccess,
  ): Promise<void> {
    try {
      const entry = this.entries.find(({ serves }) => serves(pathOf(request)));
      if (entry) {
        await this.enterBy(entry, request, response, access);
        return;
      }
      let call: Call;
      try {
        call = callOf(request, this.publicUrl);
      } catch (error) {
        const chain = this.chains.of(request.socket as TLSSocket);
        await this.parts.redemptions.recordUnreadable(asAtbError(error), chain, access.known);
        throw error;
      }
      const chain = this.chains.of(request.socket as TLSSocket);
      await this.perform(call, chain, new StreamedAnswer(response), access);
    } catch (error) {
      const known = this.known(error);
      access.code = known.code;
      refuse(request, response, known, access);
    }
  }

  private async enterBy(
    entry: Entry,
    request: IncomingMessage,
    response: ServerResponse,
    access: CallAccess,
  ): Promise<void> {
    const chain = this.chains.of(request.socket as TLSSocket);
    try {
      await entry.handle(request, response, chain, access);
    } catch (error) {
      await this.parts.redemptions.recordUnreadable(asAtbError(error), chain, access.known);
      throw error;
    }
  }

  /** Checks the call and makes it, whoever brought it. Throws what refused it or made it fail. */
  async perform(call: Call, chain: readonly string[], sink: AnswerSink, access: CallAccess): Promise<void> {
    const startedAt = performance.now();
    const permission = await this.parts.redemptions.permit(call, chain, access.known);
    await this.forward(permission, sink, startedAt, access);
    this.parts.metrics.answered(call.connector, (performance.now() - startedAt) / 1000);
  }

  /** Makes the call. What is thrown is told to the agent, unless its answer has begun. */
  private async forward(
    permission: Permission,
    sink: AnswerSink,
    startedAt: number,
    access: CallAccess,
  ): Promise<void> {
    const { connector, route, call, body } = permission;
    const upstream = this.parts.upstreams.get(connector.id);
    const abort = new AbortController();
    const outOfTime = setTimeout(() => {
      abort.abort(new AtbError('upstream_timeout', 'the system behind took too long'));
    }, connector.timeouts.totalMs);
    const listenNoMore = sink.onGone(() => {
      abort.abort(new AtbError('upstream_failed', 'the agent went away'));
    });
    let answer: UpstreamAnswer | undefined;
    let inspection: AnswerInspection | null = null;
    try {
      if (!upstream) throw new NeverConnected('there is no upstream');
      const credentials = await this.parts.credentials.headers(connector.credentials);
      answer = await clientSpan(
        { method: route.method, url: connector.upstream.url, template: route.path },
        ({ statusCode }) => statusCode,
        () =>
          upstream.send({
            method: route.method,
            path: call.search === '' ? call.path : `${call.path}?${call.search}`,
            headers: { ...upstreamHeaders(connector, route, call.headers, credentials), ...traceHeaders() },
            body: route.body === 'json' ? body : null,
            signal: abort.signal,
          }),
      );
      // Before the agent hears of it, and before anything else can go wrong.
      await this.parts.reversals.oweIfReported(permission, answer);
      inspection = this.parts.redemptions.inspectionOf(permission, answer.headers);
      const handed = await this.handOn(permission, upstream, answer, sink, inspection, access, abort.signal);
      const findings = inspection?.findings ?? [];
      this.record(permission, { ...handed, findings, code: null, startedAt, status: answer.statusCode });
    } catch (error) {
      const failure = upstreamFailure(error, abort.signal);
      answer?.discard();
      if (!answer && isUnsent(error)) await this.giveBack(permission, failure);
      if (inspection && failure.code === 'guardrail_blocked') {
        await this.parts.redemptions.recordBlockedAnswer(permission, inspection.findings);
      }
      this.record(permission, {
        bytes: 0,
        digest: null,
        findings: [],
        code: failure.code,
        startedAt,
        status: answer?.statusCode ?? null,
      });
      this.parts.redemptions.failed(permission, failure);
      if (!sink.hasBegun) throw failure;
      access.code = failure.code;
      // Half an answer cannot be taken back: the agent sees that it broke off.
      sink.breakOff();
    } finally {
      clearTimeout(outOfTime);
      listenNoMore();
    }
  }

  private async handOn(
    { connector, call }: Permission,
    upstream: Upstream,
    answer: UpstreamAnswer,
    sink: AnswerSink,
    inspection: AnswerInspection | null,
    access: CallAccess,
    signal: AbortSignal,
  ): Promise<{ readonly bytes: number; readonly digest: string }> {
    const headers = agentHeaders(answer.statusCode, answer.headers);
    const { location } = answer.headers;
    if (answer.statusCode >= 300 && answer.statusCode < 400 && location !== undefined) {
      const within = typeof location === 'string' ? upstream.within(location, call.path) : undefined;
      if (within === undefined) {
        throw new AtbError(
          'upstream_redirect_refused',
          'the system behind points elsewhere, where nobody goes',
        );
      }
      headers.location = `/c/${connector.id}${within}`;
    }
    const most = connector.limits.responseBytes;
    const announced = Number(answer.headers['content-length'] ?? 0);
    if (announced > most) throw tooLarge();
    const hash = createHash('sha256');
    let bytes = 0;
    let hasBegun = false;
    const pass = async (chunk: Buffer) => {
      // With the first bytes, so that an answer that is stopped before them is a proper refusal.
      if (!hasBegun) sink.begin(answer.statusCode, headers);
      hasBegun = true;
      hash.update(chunk);
      if (chunk.length > 0) await sink.write(chunk, signal);
    };
    for await (const chunk of answer.body) {
      bytes += chunk.length;
      if (bytes > most) throw tooLarge();
      access.bytes = bytes;
      if (!inspection) await pass(chunk);
      else {
        const looked = await inspection.push(chunk);
        if (looked.length > 0) await pass(looked);
      }
    }
    await pass(inspection ? await inspection.end() : Buffer.alloc(0));
    sink.end();
    return { bytes, digest: hash.digest('base64url') };
  }

  private async giveBack(permission: Permission, failure: AtbError): Promise<void> {
    try {
      if (await this.parts.redemptions.giveBack(permission, failure.code)) this.parts.metrics.returned();
    } catch (error) {
      // It stays used: that is the safe side.
      this.parts.onDefect(error);
    }
  }

  /** Writes the second event beside the answer: the call was made, whatever becomes of the record. Tried again for a while. */
  private record(
    permission: Permission,
    told: {
      readonly bytes: number;
      readonly digest: string | null;
      readonly findings: RedemptionOutcome['findings'];
      readonly code: AtbError['code'] | null;
      readonly startedAt: number;
      readonly status: number | null;
    },
  ): void {
    const outcome: RedemptionOutcome = {
      outcome:
        told.status === null ? 'unknown' : told.code === null && told.status < 400 ? 'succeeded' : 'failed',
      status: told.status,
      code: told.code,
      durationMs: performance.now() - told.startedAt,
      responseBytes: told.bytes,
      responseDigest: told.digest,
      findings: told.findings,
    };
    const writing = this.recordPatiently(permission, outcome).finally(() => this.recording.delete(writing));
    this.recording.add(writing);
  }

  private async recordPatiently(permission: Permission, outcome: RedemptionOutcome): Promise<void> {
    try {
      await persistently(RECORD_AGAIN_AFTER_MS, () =>
        this.parts.redemptions.recordOutcome(permission, outcome),
      );
    } catch (error) {
      this.parts.metrics.lost();
      this.parts.onDefect(error);
    }
  }

  private known(error: unknown): AtbError {
    const known = asAtbError(error);
    if (known.code === 'internal') this.parts.onDefect(error);
    return known;
  }

  private async recordUnreadable(error: AtbError, socket: Socket, span: ServerSpan): Promise<void> {
    const access = callAccess(span.traceId);
    const chain = this.chains.of(socket as TLSSocket);
    await span.run(() => this.parts.redemptions.recordUnreadable(error, chain, access.known));
    const status = statusOf(error.code);
    logUnreadable(this.parts.accessLog, access, error.code, status);
    span.end(null, status, error.code);
  }

  private async refuseRaw(
    socket: Socket,
    code: 'upgrade_refused' | 'method_not_allowed',
    message: string,
  ): Promise<void> {
    socket.on('error', () => undefined);
    const error = new AtbError(code, message);
    const span = ServerSpan.ofHttp(undefined, {});
    await this.recordUnreadable(error, socket, span);
    this.endWith(socket, rawProblem(error, span.traceId));
  }

  /** What Node's parser refuses: smuggling, folded headers, control characters, too slow, too large. */
  private refuseUnreadable(cause: NodeJS.ErrnoException, socket: Socket): void {
    // What is not HTTP's own is TLS's or the network's: there is no call, and nobody to tell.
    if (!/^(?:HPE_|ERR_HTTP_)/.test(cause.code ?? '') || !socket.writable) {
      socket.destroy();
      return;
    }
    const error =
      cause.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? new AtbError('request_timeout', 'the call did not come in time', { cause })
        : new AtbError('call_malformed', 'this is no HTTP/1.1 request that could be understood in one way', {
            cause,
          });
    const span = ServerSpan.ofHttp(undefined, {});
    void this.recordUnreadable(error, socket, span);
    this.endWith(socket, rawProblem(error, span.traceId));
  }

  /** The last word on a connection. What came whole before is answered first: whoever called must learn what became of it. */
  private endWith(socket: Socket, problem: string): void {
    const last = this.underWay.get(socket);
    if (last?.request.complete === true && !last.response.destroyed) {
      last.response.once('close', () => socket.end(problem));
    } else socket.end(problem);
  }
}

function pathOf({ url = '' }: IncomingMessage): string {
  return url.split('?')[0] ?? '';
}

/** The call in a request. Reads no body yet. Throws what makes it none. */
function callOf(request: IncomingMessage, publicUrl: string): Call {
  const method = request.method ?? '';
  if (request.httpVersion !== '1.1') throw new AtbError('call_malformed', 'calls are made with HTTP/1.1');
  if (!CALL_METHODS.has(method)) throw new AtbError('method_not_allowed', 'this method is not for here');
  const target = parseCallTarget(request.url ?? '');
  const headers = parseCallHeaders(request.rawHeaders);
  refuseConnectionTricks(headers);
  if (!headers.has('host')) throw new AtbError('call_malformed', 'a call has a Host (RFC 9112 §3.2)');
  return {
    connector: target.connector,
    method,
    path: target.path,
    query: target.query,
    search: target.search,
    headers,
    addressed: { method, url: `${publicUrl}/c/${target.connector}${target.path}` },
    body: (limitBytes) => bodyOf(request, limitBytes),
  };
}

function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  error: AtbError,
  access: CallAccess,
): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const body = JSON.stringify(problemOf(error, access.known.traceId));
  access.bytes = Buffer.byteLength(body);
  const headers: Record<string, string | number> = {
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
  };
  const status = statusOf(error.code);
  if (isRetryable(error.code)) headers['retry-after'] = error.retryAfterSeconds ?? RETRY_AFTER_SECONDS;
  if (status === 401) headers['www-authenticate'] = 'PoA';
  // What was not read is not read to its end either, and who shows a certificate that is not good is done here.
  if (!request.complete || isAboutCertificate(error.code)) headers.connection = 'close';
  response.writeHead(status, headers);
  response.end(request.method === 'HEAD' ? undefined : body, () => {
    if (!request.complete) request.socket.destroySoon();
  });
}

function rawProblem(error: AtbError, traceId: string): string {
  const body = JSON.stringify(problemOf(error, traceId));
  const status = statusOf(error.code);
  return (
    `HTTP/1.1 ${status} Refused\r\ncontent-type: application/problem+json\r\ncontent-length: ` +
    `${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`
  );
}

/** Nothing was sent: no connection came about or was free, or the credential for it was not to be had. */
function isUnsent(error: unknown): boolean {
  return error instanceof NeverConnected || (isAtbError(error) && error.code === 'credential_unavailable');
}

function upstreamFailure(error: unknown, signal: AbortSignal): AtbError {
  if (isAtbError(error)) return error;
  if (signal.aborted && isAtbError(signal.reason)) return signal.reason;
  if (error instanceof NeverConnected) {
    if (isAtbError(error.cause)) return error.cause;
    return new AtbError('upstream_unreachable', 'the system behind cannot be reached', {
      cause: error.cause,
    });
  }
  const { code } = error as { code?: unknown };
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') {
    return new AtbError('upstream_timeout', 'the system behind took too long', { cause: error });
  }
  return new AtbError('upstream_failed', 'the system behind broke off', { cause: error });
}

function tooLarge(): AtbError {
  return new AtbError('upstream_response_too_large', 'the answer is larger than the connector allows');
}

function asAtbError(error: unknown): AtbError {
  if (isAtbError(error)) return error;
  return new AtbError('internal', 'something went wrong on our side; it was logged', { cause: error });
}
