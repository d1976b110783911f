import { Client, Metadata, credentials, status } from '@grpc/grpc-js';
import type { ClientReadableStream, MethodDefinition, ServiceError } from '@grpc/grpc-js';
import { Backoff } from './backoff';
import type { BackoffOptions } from './backoff';
import { parseEndpointAddress } from './endpoint-address';
import { SpiffeError } from './error';
import type { SpiffeErrorCode } from './error';
import { parseWorkloadId } from './spiffe-id';
import type { SpiffeId } from './spiffe-id';
import type { TrustBundleSet } from './trust-bundle';
import { readJwtBundles, readJwtSvids, readX509Bundles, readX509Context } from './workload-answer';
import type { OwnJwtSvid, X509Context } from './workload-answer';
import { WORKLOAD_API } from './workload-api.service';

export interface WorkloadApiOptions {
  /** `unix:///path` or `tcp://ip:port`; `SPIFFE_ENDPOINT_SOCKET` unless told. */
  readonly address?: string;
  /** How long an answer, or the first message of a stream, may take; 1500 ms unless told. */
  readonly answerTimeoutMs?: number;
  readonly backoff?: BackoffOptions;
}

/** Who is told of a stream of full states. */
export interface Watcher<State> {
  onUpdate(state: State): void;
  /**
   * Something went wrong. The stream is tried again after a wait, unless `final` (SPIFFE Workload Endpoint, appendix A:
   * InvalidArgument and Unimplemented are not). After `workload_api_denied` what was received before is no longer ours
   * to use (SPIFFE Workload API §5.2.1); after anything else it is.
   */
  onError(error: SpiffeError, final: boolean): void;
}

const ANSWER_TIMEOUT_MS = 1500;
/** SPIFFE Workload Endpoint §3: proves that the caller is no confused proxy. */
const SECURITY_HEADER = 'workload.spiffe.io';
const FINAL: ReadonlySet<number> = new Set([status.INVALID_ARGUMENT, status.UNIMPLEMENTED]);

const OUT_OF_REACH = ['workload_api_unavailable', 'the Workload API is out of reach'] as const;
const REFUSALS: ReadonlyMap<status | undefined, readonly [SpiffeErrorCode, string]> = new Map([
  [status.PERMISSION_DENIED, ['workload_api_denied', 'the Workload API has no identity for this process']],
  [status.INVALID_ARGUMENT, ['workload_api_answer_malformed', 'the Workload API refuses the request']],
  [status.UNIMPLEMENTED, ['workload_api_unavailable', 'the Workload API does not have this method']],
]);

type Streaming<Response> = MethodDefinition<Readonly<Record<string, never>>, Response>;

/**
 * A client of the SPIFFE Workload API (SPIFFE Workload API, SPIFFE Workload Endpoint). Connects when it is first
 * asked. Throws `endpoint_address_malformed` for an address that is none.
 */
export class WorkloadApiClient {
  private readonly client: Client;
  private readonly answerTimeoutMs: number;
  private readonly watches = new Set<() => void>();

  constructor(private readonly options: WorkloadApiOptions = {}) {
    const target = parseEndpointAddress(options.address ?? process.env.SPIFFE_ENDPOINT_SOCKET);
    this.answerTimeoutMs = options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS;
    // §3.1: no TLS, for nobody could be verified yet. When to come back is decided here, not by the channel.
    this.client = new Client(target, credentials.createInsecure(), {
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.min_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 100,
      'grpc.enable_http_proxy': 0,
      'grpc.service_config_disable_resolution': 1,
    });
  }

  /** Follows the X.509-SVIDs and bundles of this process until the function that it answers is called. */
  watchX509Context(watcher: Watcher<X509Context>): () => void {
    return this.watch(WORKLOAD_API.fetchX509Svid, readX509Context, watcher);
  }

  /** Follows the X.509 bundles, for a process that has no SVID itself. */
  watchX509Bundles(watcher: Watcher<TrustBundleSet>): () => void {
    return this.watch(WORKLOAD_API.fetchX509Bundles, readX509Bundles, watcher);
  }

  /** Follows the keys of the JWT-SVIDs of each trust domain. */
  watchJwtBundles(watcher: Watcher<TrustBundleSet>): () => void {
    return this.watch(WORKLOAD_API.fetchJwtBundles, readJwtBundles, watcher);
  }

  /** The X.509-SVIDs and bundles as of now. Throws the `workload_api_…` codes. */
  fetchX509Context(): Promise<X509Context> {
    return this.first((watcher) => this.watchX509Context(watcher));
  }

  fetchX509Bundles(): Promise<TrustBundleSet> {
    return this.first((watcher) => this.watchX509Bundles(watcher));
  }

  fetchJwtBundles(): Promise<TrustBundleSet> {
    return this.first((watcher) => this.watchJwtBundles(watcher));
  }

  /**
   * JWT-SVIDs for an audience, of all identities of this process or of the one named; the first is the default (SPIFFE
   * Workload API §6.2.1). Throws the `workload_api_…` codes.
   */
  async fetchJwtSvids(
    audience: readonly [string, ...string[]],
    spiffeId?: SpiffeId,
  ): Promise<readonly [OwnJwtSvid, ...OwnJwtSvid[]]> {
    return readJwtSvids(
      await this.ask(WORKLOAD_API.fetchJwtSvid, { audience, spiffeId: spiffeId?.uri ?? '' }),
    );
  }

  /** Has the Workload API validate a JWT-SVID (§6.2.3); answers whose it is. Throws the `workload_api_…` codes. */
  async validateJwtSvid(audience: string, token: string): Promise<SpiffeId> {
    const { spiffeId } = await this.ask(WORKLOAD_API.validateJwtSvid, { audience, svid: token });
    return parseWorkloadId(spiffeId);
  }

  /** Ends every watch and the connection. */
  close(): void {
    for (const stop of this.watches) stop();
    this.client.close();
  }

  private watch<Response, State>(
    method: Streaming<Response>,
    read: (response: Response) => State,
    watcher: Watcher<State>,
  ): () => void {
    const backoff = new Backoff(this.options.backoff);
    let call: ClientReadableStream<Response> | undefined;
    let timer: NodeJS.Timeout | undefined;
    let ended = false;
    const stop = () => {
      ended = true;
      clearTimeout(timer);
      call?.cancel();
      this.watches.delete(stop);
    };
    const start = () => {
      const stream = this.client.makeServerStreamRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        {},
        securityHeader(),
      );
      call = stream;
      let over = false;
      const failed = (error: SpiffeError, final: boolean) => {
        if (over || ended) return;
        over = true;
        clearTimeout(timer);
        stream.cancel();
        if (final) stop();
        else timer = setTimeout(start, backoff.nextMs());
        watcher.onError(error, final);
      };
      timer = setTimeout(() => {
        failed(new SpiffeError('workload_api_unavailable', 'the Workload API does not answer'), false);
      }, this.answerTimeoutMs);
      stream.on('data', (response: Response) => {
        if (over || ended) return;
        clearTimeout(timer);
        let state: State;
        try {
          state = read(response);
        } catch (error) {
          // Discarded as a whole (§4.5); the stream may bring a better one.
          watcher.onError(error as SpiffeError, false);
          return;
        }
        backoff.reset();
        watcher.onUpdate(state);
      });
      stream.on('error', (error: ServiceError) => {
        failed(refusalOf(error), FINAL.has(error.code));
      });
      stream.on('end', () => {
        failed(new SpiffeError('workload_api_unavailable', 'the Workload API ended its stream'), false);
      });
    };
    this.watches.add(stop);
    start();
    return stop;
  }

  /** One try, without another after it. */
  private first<State>(watch: (watcher: Watcher<State>) => () => void): Promise<State> {
    return new Promise((resolve, reject) => {
      const stop = watch({
        onUpdate: (state) => {
          stop();
          resolve(state);
        },
        onError: (error) => {
          stop();
          reject(error);
        },
      });
    });
  }

  private ask<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      this.client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        securityHeader(),
        { deadline: Date.now() + this.answerTimeoutMs },
        (error, response) => {
          if (error) reject(refusalOf(error));
          else if (response === undefined) reject(refusalOf(new Error('there was no answer')));
          else resolve(response);
        },
      );
    });
  }
}

function securityHeader(): Metadata {
  const metadata = new Metadata();
  metadata.set(SECURITY_HEADER, 'true');
  return metadata;
}

function refusalOf(cause: Error & { readonly code?: status }): SpiffeError {
  const [code, message] = REFUSALS.get(cause.code) ?? OUT_OF_REACH;
  return new SpiffeError(code, message, { cause });
}
