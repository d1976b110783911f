import { createPrivateKey, X509Certificate } from 'node:crypto';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { sendUnaryData, ServerUnaryCall, ServerWritableStream, status } from '@grpc/grpc-js';
import { parsePemCertificates } from '../../adapters/spiffe';
import { issueSvid } from '../../adapters/spiffe/development-ca';
import type { DevelopmentCa, SvidProfile } from '../../adapters/spiffe/development-ca';
import { WORKLOAD_API } from '../../adapters/spiffe/workload-api.service';
import type { X509SvidMessage, X509SvidResponse } from '../../adapters/spiffe/workload-api.service';

/** Whose JWT-SVIDs it gives. */
const NAME = 'spiffe://corp.example/agent/finance-bot';

type Stream = ServerWritableStream<object, X509SvidResponse>;

/** A Workload API on a socket of its own, over real gRPC, that misbehaves as it is told. */
export class WorkloadEndpoint {
  private server: Server | undefined;
  private readonly streams = new Set<Stream>();
  /** What a new stream is told first: a state, a refusal, or nothing at all. */
  first: X509SvidResponse | status | 'silence' = 'silence';
  readonly headers: (string | undefined)[] = [];

  constructor(readonly path: string) {}

  get address(): string {
    return `unix://${this.path}`;
  }

  async start(): Promise<void> {
    const server = new Server();
    server.addService(
      { fetchX509Svid: WORKLOAD_API.fetchX509Svid, fetchJwtSvid: WORKLOAD_API.fetchJwtSvid },
      {
        fetchX509Svid: (stream: Stream) => {
          this.opened(stream);
        },
        fetchJwtSvid: (
          call: ServerUnaryCall<{ audience: string[] }, object>,
          answer: sendUnaryData<object>,
        ) => {
          this.headers.push(call.metadata.get('workload.spiffe.io')[0]?.toString());
          const claims = { sub: NAME, aud: call.request.audience, exp: 4_102_444_800 };
          const payload = Buffer.from(JSON.stringify(claims)).toString('base64url');
          answer(null, { svids: [{ spiffeId: NAME, svid: `e30.${payload}.c2ln`, hint: '' }] });
        },
      },
    );
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(this.address, ServerCredentials.createInsecure(), (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
    this.server = server;
  }

  push(state: X509SvidResponse): void {
    this.first = state;
    for (const stream of this.streams) stream.write(state);
  }

  /** Ends every stream with a refusal, and answers new ones with it. */
  refuse(code: status): void {
    this.first = code;
    for (const stream of this.streams) stream.emit('error', { code });
  }

  stop(): void {
    this.server?.forceShutdown();
    this.streams.clear();
  }

  private opened(stream: Stream): void {
    this.headers.push(stream.metadata.get('workload.spiffe.io')[0]?.toString());
    if (typeof this.first === 'number') {
      stream.emit('error', { code: this.first });
      return;
    }
    this.streams.add(stream);
    stream.on('close', () => this.streams.delete(stream));
    stream.on('cancelled', () => this.streams.delete(stream));
    if (this.first !== 'silence') stream.write(this.first);
  }
}

/** An SVID as the Workload API hands it over, with the bundle of its authority. */
export async function issuedBy(
  authority: DevelopmentCa,
  profile: Partial<SvidProfile> & Pick<SvidProfile, 'spiffeId'>,
  hint = '',
): Promise<X509SvidMessage> {
  const { chainPem, privateKeyPem } = await issueSvid(authority, { ttlHours: 1, ...profile });
  return {
    spiffeId: profile.spiffeId,
    x509Svid: Buffer.concat(parsePemCertificates(chainPem).map((der) => Buffer.from(der))),
    x509SvidKey: createPrivateKey(privateKeyPem).export({ type: 'pkcs8', format: 'der' }),
    bundle: authorities(authority),
    hint,
  };
}

export function authorities({ certificatePem }: DevelopmentCa): Uint8Array {
  return new X509Certificate(certificatePem).raw;
}

export function stateOf(...svids: X509SvidMessage[]): X509SvidResponse {
  return { svids, crl: [], federatedBundles: {} };
}
