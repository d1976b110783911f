import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { SpiffeError, isSpiffeError } from './error';
import { MAX_BUNDLE_BYTES } from './spiffe-bundle';
import { parseTrustDomain, parseWorkloadId } from './spiffe-id';
import { PeerVerifier } from './tls';
import type { X509BundleSource } from './trust-bundle';

/**
 * Where the bundle of a trust domain is to be had (SPIFFE Federation §5.1). The profile is who must be there: whoever
 * the public authorities say has the name in the URL, or whoever has that SPIFFE ID.
 */
export interface BundleEndpoint {
  readonly trustDomain: string;
  readonly url: string;
  readonly profile:
    | {
        readonly type: 'https_web';
        /** PEM; the authorities that come with Node unless told. */
        readonly authorities?: string;
      }
    | { readonly type: 'https_spiffe'; readonly endpointId: string };
}

const TIMEOUT_MS = 5_000;
const MAX_REDIRECTS = 3;
const REDIRECTS: ReadonlySet<number | undefined> = new Set([301, 302, 303, 307, 308]);

/** Checks what an endpoint is configured as. Throws `spiffe_id_malformed`, `bundle_endpoint_malformed`. */
export function checkBundleEndpoint({ trustDomain, url, profile }: BundleEndpoint): void {
  parseTrustDomain(trustDomain);
  if (profile.type === 'https_spiffe') parseWorkloadId(profile.endpointId);
  endpointUrl(url);
}

/**
 * Fetches the text of a bundle (SPIFFE Federation §5.2). `bundles` are those by which an `https_spiffe` endpoint is
 * verified: the latest of its own trust domain. Throws `bundle_endpoint_unavailable`, and for a server that is not the
 * right one what validateX509Svid throws, `peer_not_authorized`.
 */
export async function fetchBundle(
  endpoint: BundleEndpoint,
  bundles: X509BundleSource,
  timeoutMs = TIMEOUT_MS,
): Promise<string> {
  const signal = AbortSignal.timeout(timeoutMs);
  let url = endpointUrl(endpoint.url);
  try {
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
      const socket = await verifiedConnection(url, endpoint, bundles, signal);
      const answer = await get(url, socket, signal);
      if ('body' in answer) return answer.body;
      // §5.2.1.4, §5.2.2.4: held to the same as the first, and forgotten afterwards.
      url = endpointUrl(answer.location, url.href);
    }
  } catch (cause) {
    if (isSpiffeError(cause)) throw cause;
    throw unavailable('it cannot be reached', cause);
  }
  throw unavailable('it leads elsewhere again and again');
}

/** §5.2.1.1, §5.2.2.1. */
function endpointUrl(text: string, base?: string): URL {
  if (!URL.canParse(text, base)) throw malformed('it is no URL');
  const url = new URL(text, base);
  if (url.protocol !== 'https:') throw malformed('it is not https');
  if (url.username !== '' || url.password !== '') throw malformed('it has a user');
  return url;
}

/** A connection to a server that was found to be the right one: before that, nothing is asked. */
function verifiedConnection(
  url: URL,
  { profile }: BundleEndpoint,
  bundles: X509BundleSource,
  signal: AbortSignal,
): Promise<TLSSocket> {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const options: ConnectionOptions = {
    ...{ host, port: url.port === '' ? 443 : Number(url.port) },
    ...(isIP(host) === 0 && { servername: host }),
    ...{
      minVersion: 'TLSv1.2',
      ALPNProtocols: ['http/1.1'],
      rejectUnauthorized: profile.type === 'https_web',
    },
    ...(profile.type === 'https_web'
      ? profile.authorities !== undefined && { ca: profile.authorities }
      : { checkServerIdentity: () => undefined }),
  };
  return new Promise((resolve, reject) => {
    const socket = connect(options);
    const fail = (error: unknown) => {
      socket.destroy();
      reject(error instanceof Error ? error : new Error('aborted', { cause: error }));
    };
    const onAbort = () => {
      fail(signal.reason);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('error', fail);
    socket.once('secureConnect', () => {
      signal.removeEventListener('abort', onAbort);
      try {
        if (profile.type === 'https_spiffe') {
          const isEndpoint = ({ spiffeId }: { spiffeId: string }) => spiffeId === profile.endpointId;
          new PeerVerifier(bundles, 'serverAuth', isEndpoint).verify(socket, new Date());
        }
      } catch (error) {
        fail(error);
        return;
      }
      socket.off('error', fail);
      resolve(socket);
    });
  });
}

type Answer = { readonly body: string } | { readonly location: string };

function get(url: URL, socket: TLSSocket, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = request(
      {
        ...{ method: 'GET', path: `${url.pathname}${url.search}`, signal },
        headers: { host: url.host, accept: 'application/json', connection: 'close' },
        createConnection: (): Duplex => socket,
      },
      (response) => {
        answerOf(response)
          .then(resolve, reject)
          .finally(() => socket.destroy());
      },
    );
    call.once('error', (error) => {
      socket.destroy();
      reject(error);
    });
    call.end();
  });
}

async function answerOf(response: IncomingMessage): Promise<Answer> {
  const { statusCode, headers } = response;
  if (REDIRECTS.has(statusCode) && headers.location !== undefined) return { location: headers.location };
  if (statusCode !== 200) throw unavailable(`it answers ${statusCode ?? 'nothing'}`);
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BUNDLE_BYTES) throw unavailable('its bundle is larger than 4 MiB');
    chunks.push(chunk);
  }
  try {
    return { body: new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks)) };
  } catch (cause) {
    throw unavailable('its bundle is not UTF-8', cause);
  }
}

function malformed(why: string): SpiffeError {
  return new SpiffeError('bundle_endpoint_malformed', `the URL of a bundle endpoint cannot be used: ${why}`);
}

function unavailable(why: string, cause?: unknown): SpiffeError {
  return new SpiffeError('bundle_endpoint_unavailable', `the bundle endpoint gives no bundle: ${why}`, {
    cause,
  });
}
