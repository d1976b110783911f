import { createServer } from 'node:tls';
import type { Server as TlsServer, TLSSocket } from 'node:tls';
import { Server, ServerCredentials, status } from '@grpc/grpc-js';
import type { MethodDefinition, sendUnaryData, ServerUnaryCall } from '@grpc/grpc-js';
import * as protobuf from 'protobufjs';
import { PresentedChains, rotateServerCertificate, serverTlsOptions } from '../../../adapters/spiffe';
import type { OwnIdentity } from '../../../adapters/spiffe';
import { ServerSpan } from '../../../adapters/tracing/server-span';
import type { IncomingTrace } from '../../../adapters/tracing/span';
import { AtbError, isAtbError, isRetryable, statusOf } from '../../../domain/error';
import type { AccessLog } from '../../../adapters/access-log/access-log';
import { problemOf } from '../../problem-details';
import { callAccess, logCheck } from '../access';
import type { CallAccess } from '../access';
import { CALL_METHODS } from '../call';
import type { Redemptions } from '../redemption';
import { EXT_AUTHZ_PROTO } from './ext-authz.proto';
import { callOfGateway, chainOfEncodedPem, NOT_FOR_UPSTREAM } from './gateway';
import type { Gateways } from './gateway';

interface CheckRequest {
  readonly attributes?: {
    readonly source?: { readonly certificate: string };
    readonly request?: {
      readonly http?: {
        readonly method: string;
        readonly headers: Readonly<Record<string, string>>;
        readonly headerMap: object | null;
        readonly path: string;
        readonly host: string;
        readonly scheme: string;
        readonly body: string;
        readonly rawBody: Uint8Array;
      };
    };
    readonly contextExtensions: Readonly<Record<string, string>>;
  };
}
type CheckResponse = Readonly<Record<string, unknown>>;

const { root } = protobuf.parse(EXT_AUTHZ_PROTO);
const REQUEST = root.lookupType('envoy.service.auth.v3.CheckRequest');
const RESPONSE = root.lookupType('envoy.service.auth.v3.CheckResponse');

const METHOD = 'envoy.service.auth.v3.Authorization/Check';

/** The one method of envoy.service.auth.v3.Authorization, for a client or a server of grpc-js. */
export const CHECK: MethodDefinition<CheckRequest, CheckResponse> = {
  path: `/${METHOD}`,
  requestStream: false,
  responseStream: false,
  requestSerialize: (message) => Buffer.from(REQUEST.encode(REQUEST.fromObject(message)).finish()),
  requestDeserialize: (bytes) => REQUEST.toObject(REQUEST.decode(bytes), { defaults: true }),
  responseSerialize: (message) => Buffer.from(RESPONSE.encode(RESPONSE.fromObject(message)).finish()),
  responseDeserialize: (bytes) => RESPONSE.toObject(RESPONSE.decode(bytes)),
};

export interface GrpcExtAuthzParts {
  readonly identity: OwnIdentity;
  readonly gateways: Gateways;
  readonly redemptions: Pick<Redemptions, 'permit' | 'recordUnreadable'>;
  readonly accessLog: AccessLog;
  readonly onDefect: (error: unknown) => void;
}

const MAX_MESSAGE_BYTES = 17 * 1024 * 1024;
/** Whoever is no gateway is told that, and nothing is kept of what it sends (attack 36). */
const FOR_STRANGERS = {
  ...{ 'grpc.max_receive_message_length': 64 * 1024, 'grpc.max_concurrent_streams': 1 },
  // Whoever is one by now connects anew.
  ...{ 'grpc.max_connection_age_ms': 30_000, 'grpc.max_connection_age_grace_ms': 5_000 },
};
const HANDSHAKE_MS = 10_000;
const OK = 0;
const OK_HTTP = 200;
const PERMISSION_DENIED = 7;

/**
 * Envoy's external authorization over gRPC, on a port of its own. The gateway proves itself by its SVID, at each call;
 * the connector is `context_extensions.connector` of the route, the agent's certificate `source.certificate`
 * (include_peer_certificate). OK is yes, once: the mandate is used then.
 */
export class GrpcExtAuthz {
  private readonly servers = {
    gateways: new Server({ 'grpc.max_receive_message_length': MAX_MESSAGE_BYTES }),
    strangers: new Server(FOR_STRANGERS),
  };
  private readonly tls: TlsServer;
  private readonly chains = new PresentedChains();
  /** The connections, by the address at their other end. */
  private readonly sockets = new Map<string, TLSSocket>();

  constructor(private readonly parts: GrpcExtAuthzParts) {
    const injectorOf = (server: Server) => {
      server.addService({ check: CHECK }, { check: this.check });
      return server.createConnectionInjector(ServerCredentials.createInsecure());
    };
    const gateways = injectorOf(this.servers.gateways);
    const strangers = injectorOf(this.servers.strangers);
    // TLS is ours: any certificate may come in, so that the refusal can say what is wrong with it.
    const tls = {
      ...serverTlsOptions(parts.identity),
      ALPNProtocols: ['h2'],
      handshakeTimeout: HANDSHAKE_MS,
    };
    this.tls = createServer(tls, (socket) => {
      const address = `${socket.remoteAddress ?? ''}:${socket.remotePort ?? ''}`;
      this.sockets.set(address, socket);
      socket.once('close', () => this.sockets.delete(address));
      socket.on('error', () => undefined);
      (this.isOfGateway(socket) ? gateways : strangers).injectConnection(socket);
    });
    this.tls.on('tlsClientError', (_, socket) => socket.destroy());
    rotateServerCertificate(this.tls, parts.identity);
  }

  listen(port: number, host: string): Promise<number> {
    return new Promise((resolve, reject) => {
      this.tls.once('error', reject);
      this.tls.listen(port, host, () => {
        const address = this.tls.address();
        resolve(typeof address === 'object' && address !== null ? address.port : port);
      });
    });
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.tls.close(() => {
        resolve();
      });
    });
    for (const socket of this.sockets.values()) socket.destroy();
    for (const server of Object.values(this.servers)) server.forceShutdown();
    await closed;
  }

  private isOfGateway(socket: TLSSocket): boolean {
    try {
      this.parts.gateways.require(this.chains.of(socket));
      return true;
    } catch {
      // Told at its first call, and at each.
      return false;
    }
  }

  private readonly check = (
    call: ServerUnaryCall<CheckRequest, CheckResponse>,
    answer: sendUnaryData<CheckResponse>,
  ): void => {
    this.decide(call).then(
      (response) => {
        answer(null, response);
      },
      (error: unknown) => {
        this.parts.onDefect(error);
        answer({ code: status.INTERNAL, details: 'something went wrong on our side' });
      },
    );
  };

  private async decide(call: ServerUnaryCall<CheckRequest, CheckResponse>): Promise<CheckResponse> {
    const socket = this.sockets.get(call.getPeer());
    const chain = socket ? this.chains.of(socket) : [];
    const http = call.request.attributes?.request?.http;
    const span = ServerSpan.ofGrpc(METHOD, traceOf(call));
    const access = callAccess(span.traceId);
    access.entry = '/ext_authz';
    const startedAt = performance.now();
    const told = (status: number) => {
      logCheck(this.parts.accessLog, access, { startedAt, status, method: methodOf(http?.method) });
      span.end(null, status, access.code);
    };
    return span.run(async () => {
      try {
        this.parts.gateways.require(chain);
        await this.permit(call.request, access);
        told(OK_HTTP);
        return { status: { code: OK }, okResponse: { headersToRemove: [...NOT_FOR_UPSTREAM] } };
      } catch (error) {
        if (!isAtbError(error)) {
          span.end(null, null, 'internal');
          throw error;
        }
        await this.parts.redemptions.recordUnreadable(error, chain, access.known);
        access.code = error.code;
        told(statusOf(error.code));
        return denied(error, access.known.traceId);
      }
    });
  }

  private async permit({ attributes }: CheckRequest, { known }: CallAccess): Promise<void> {
    const http = attributes?.request?.http;
    if (!attributes || !http) throw new AtbError('call_malformed', 'the check is about no HTTP request');
    const { connector } = attributes.contextExtensions;
    if (connector === undefined) {
      throw new AtbError(
        'connector_unknown',
        'the route of the gateway must have context_extensions.connector',
      );
    }
    // Envoy writes the pseudo headers of HTTP/2 among the others.
    if (http.headerMap) {
      throw new AtbError(
        'call_malformed',
        'the gateway sent the headers as bytes: encode_raw_headers must be false',
      );
    }
    const headers = Object.entries(http.headers).filter(([name]) => !name.startsWith(':'));
    if (http.headers['x-envoy-auth-partial-body'] === 'true') {
      throw new AtbError(
        'body_too_large',
        'the gateway sent a part of the body: allow_partial_message must be false',
      );
    }
    const body = http.rawBody.length > 0 ? Buffer.from(http.rawBody) : Buffer.from(http.body);
    const announced = http.headers['content-length'];
    if (announced !== undefined && announced !== String(body.length)) {
      throw new AtbError(
        'call_malformed',
        'the gateway sent not the whole body: with_request_body must be set',
      );
    }
    const call = callOfGateway({
      connector,
      method: http.method,
      target: http.path,
      headers: headers.flat(),
      url: `${http.scheme === '' ? 'https' : http.scheme}://${http.host}${http.path.split('?')[0] ?? ''}`,
      body: (limitBytes) => {
        if (body.length > limitBytes)
          throw new AtbError('body_too_large', 'the body is larger than is taken here');
        return Promise.resolve(body);
      },
    });
    const encoded = attributes.source?.certificate ?? '';
    await this.parts.redemptions.permit(call, encoded === '' ? [] : chainOfEncodedPem(encoded), known);
  }
}

/** A name from a closed set, for the access log. */
function methodOf(method = ''): string {
  return CALL_METHODS.has(method) ? method : 'none';
}

/** The trace of the check, as Envoy names it, or else the one of the call that it is about. */
function traceOf({ metadata, request }: ServerUnaryCall<CheckRequest, CheckResponse>): IncomingTrace {
  const [traceparent] = metadata.get('traceparent');
  const [tracestate] = metadata.get('tracestate');
  if (traceparent !== undefined)
    return { traceparent: String(traceparent), ...(tracestate && { tracestate: String(tracestate) }) };
  const { traceparent: named, tracestate: state } = request.attributes?.request?.http?.headers ?? {};
  return { traceparent: named, tracestate: state };
}

function denied(error: AtbError, traceId: string): CheckResponse {
  const headers = [{ header: { key: 'content-type', value: 'application/problem+json' } }];
  if (isRetryable(error.code)) {
    headers.push({ header: { key: 'retry-after', value: String(error.retryAfterSeconds ?? 1) } });
  }
  return {
    status: { code: PERMISSION_DENIED, message: error.code },
    deniedResponse: {
      status: { code: statusOf(error.code) },
      headers,
      body: JSON.stringify(problemOf(error, traceId)),
    },
  };
}
