import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { PeerCertificate } from 'node:tls';
import { buildConnector, Pool } from 'undici';
import type { Connector } from '../../domain/connector';
import type { OwnIdentity } from '../spiffe';
import { AtbError } from '../../domain/error';
import { Egress } from './egress';
import type { Resolver } from './egress';
import { NeverConnected, ReceivedAnswer } from './received-answer';
import type { UpstreamAnswer } from './received-answer';

export interface OutgoingCall {
  readonly method: string;
  /** Below the upstream's base, with its leading slash and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | null;
  readonly signal: AbortSignal;
}

export interface UpstreamOptions {
  /** The broker's own SVID, for connectors that show it. */
  readonly identity: OwnIdentity;
  readonly resolver?: Resolver;
}

const CONNECTIONS = 64;
const MAX_RESPONSE_HEADERS = 32 * 1024;

/** The connections to one connector's system, kept alive; each only to where its egress list leads. */
export class Upstream {
  private readonly pool: Pool;
  private readonly base: string;

  /** Reads certificates; throws `configuration_invalid` where one cannot be read. */
  constructor(
    readonly connector: Connector,
    options: UpstreamOptions,
  ) {
    const { url, tls } = connector.upstream;
    const egress = new Egress(connector, options.resolver);
    const { identity } = options;
    const files = tlsFiles(connector);
    const withSvid = () =>
      buildConnector({
        timeout: connector.timeouts.connectMs,
        lookup: egress.lookup,
        rejectUnauthorized: true,
        minVersion: 'TLSv1.2',
        ...files,
        ...(tls.clientCertificate === 'broker' && {
          cert: identity.svid.certificatePem,
          key: identity.svid.privateKeyPem,
        }),
        ...(tls.spiffeId !== undefined && {
          checkServerIdentity: (_: string, certificate: PeerCertificate) =>
            spiffeFault(certificate, tls.spiffeId ?? ''),
        }),
      });
    // Anew with each SVID: what is remembered for resuming sessions was begun with the one of before.
    let connect: ReturnType<typeof withSvid> | undefined = withSvid();
    identity.onChange(() => {
      connect = undefined;
    });
    this.base = url.pathname.replace(/\/$/, '');
    this.pool = new Pool(url.origin, {
      connections: CONNECTIONS,
      pipelining: 1,
      headersTimeout: connector.timeouts.firstByteMs,
      bodyTimeout: connector.timeouts.idleMs,
      maxHeaderSize: MAX_RESPONSE_HEADERS,
      connect: (target, settle) => {
        try {
          egress.requireListed(
            target.hostname,
            Number(target.port) || (target.protocol === 'https:' ? 443 : 80),
          );
          connect ??= withSvid();
        } catch (error) {
          settle(new NeverConnected('not allowed', { cause: error }), null);
          return;
        }
        // The pool takes the name from the Host header, whatever the options above say.
        const named = tls.serverName === undefined ? target : { ...target, servername: tls.serverName };
        connect(named, (error, socket) => {
          if (error) settle(new NeverConnected('no connection', { cause: error }), null);
          else settle(null, socket);
        });
      },
    });
  }

  /** Sends the call. Throws NeverConnected where nothing was sent; redirects are answers, nobody follows them. */
  send({ method, path, headers, body, signal }: OutgoingCall): Promise<UpstreamAnswer> {
    const { host } = this.connector.upstream.url;
    return new Promise((resolve, reject) => {
      this.pool.dispatch(
        { method: method, path: `${this.base}${path}`, headers: { ...headers, host }, body },
        new ReceivedAnswer(signal, resolve, reject),
      );
    });
  }

  /** Where a redirect leads, seen from below the base; undefined where that is elsewhere. */
  within(location: string, path: string): string | undefined {
    const { url } = this.connector.upstream;
    const from = new URL(`${this.base}${path}`, url);
    if (!URL.canParse(location, from.href)) return undefined;
    const target = new URL(location, from);
    if (target.origin !== url.origin || !target.pathname.startsWith(`${this.base}/`)) return undefined;
    return `${target.pathname.slice(this.base.length)}${target.search}`;
  }

  async close(): Promise<void> {
    await this.pool.close();
  }

  async destroy(): Promise<void> {
    await this.pool.destroy();
  }
}

function tlsFiles({ id, upstream: { tls } }: Connector): object {
  const read = (file: string) => {
    try {
      return readFileSync(file, 'utf8');
    } catch (cause) {
      throw new AtbError('configuration_invalid', `the connector ${id} names ${file}, which cannot be read`, {
        cause,
      });
    }
  };
  const own = tls.clientCertificate;
  return {
    ...(tls.caFile !== undefined && { ca: read(tls.caFile) }),
    ...(typeof own === 'object' && { cert: read(own.certFile), key: read(own.keyFile) }),
  };
}

/** The chain was verified by TLS; what is left is whose it is. */
function spiffeFault({ raw }: PeerCertificate, expected: string): Error | undefined {
  const names = (new X509Certificate(raw).subjectAltName ?? '').split(', ');
  const uris = names.filter((name) => name.startsWith('URI:'));
  return uris.length === 1 && uris[0] === `URI:${expected}`
    ? undefined
    : new Error('the upstream is not the workload that the connector names');
}
