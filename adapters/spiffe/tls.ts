import { constants } from 'node:crypto';
import type { ClientRequest } from 'node:http';
import { Agent } from 'node:https';
import type { AgentOptions, RequestOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import { connect } from 'node:tls';
import type { ConnectionOptions, SecureContextOptions, Server, TLSSocket, TlsOptions } from 'node:tls';
import { SpiffeError, isSpiffeError } from './error';
import type { X509BundleSource } from './trust-bundle';
import type { OwnIdentity } from './x509-source';
import { X509SvidValidator } from './x509-svid';
import type { X509Svid } from './x509-svid';

type Connected = (error: Error | null, socket: Duplex) => void;

/** Whether the peer is one that this connection is for. */
export type Authorize = (peer: X509Svid) => boolean;

/** Node's own method has an answer, of which its types know nothing. */
const KEEPS_ALIVE: { keepSocketAlive(socket: Duplex): unknown } = Agent.prototype;

/** How a chain is presented at most; a longer one is refused by the validator. */
const MAX_PRESENTED = 16;

/**
 * Options of a Node TLS or HTTPS server that shows its SVID and asks for the client's (X509-SVID §4.4). Any certificate
 * comes in: Node knows one list of authorities for all, and merging trust domains is what must not be (SPIFFE
 * Federation §4.2). So the peer is judged by PeerVerifier, at the connection or at each request.
 */
export function serverTlsOptions(identity: OwnIdentity): TlsOptions {
  return { ...ownCertificate(identity), requestCert: true, rejectUnauthorized: false };
}

/**
 * Has a server show the SVID as it is then, whenever it changes: for new connections; those that are open stay open.
 * Until the function that it answers is called. Where the SVID was taken away, new connections are refused.
 */
export function rotateServerCertificate(server: Server, identity: OwnIdentity): () => void {
  return identity.onChange(() => {
    try {
      server.setSecureContext(ownCertificate(identity));
    } catch (error) {
      if (!isSpiffeError(error)) throw error;
      server.setSecureContext({});
    }
  });
}

function ownCertificate({ svid }: OwnIdentity): SecureContextOptions {
  return {
    key: svid.privateKeyPem,
    cert: svid.certificatePem,
    minVersion: 'TLSv1.2',
    // A resumed session shows no certificate, and would outlive it.
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

/** The certificates that the peer of a connection showed, DER, leaf first; none where it showed none. */
export function presentedChain(socket: TLSSocket): readonly Uint8Array[] {
  const chain: Uint8Array[] = [];
  let certificate = socket.getPeerX509Certificate();
  while (certificate && chain.length < MAX_PRESENTED) {
    chain.push(certificate.raw);
    const { issuerCertificate } = certificate;
    // The last one's issuer is itself, or nothing.
    certificate = issuerCertificate?.raw.equals(certificate.raw) === true ? undefined : issuerCertificate;
  }
  return chain;
}

/** Judges the peers of TLS connections by the bundles of now: as often as asked, for as long as they live. */
export class PeerVerifier {
  private readonly validator: X509SvidValidator;
  /** A connection's certificates stay the same. */
  private readonly chains = new WeakMap<TLSSocket, readonly Uint8Array[]>();

  constructor(
    bundles: X509BundleSource,
    purpose: 'clientAuth' | 'serverAuth',
    private readonly authorize: Authorize = () => true,
  ) {
    this.validator = new X509SvidValidator(bundles, { purpose });
  }

  /**
   * Whose connection it is. Throws as validateX509Svid, and `peer_not_authorized`; the caller then closes the
   * connection.
   */
  verify(socket: TLSSocket, at: Date): X509Svid {
    const chain = this.chains.get(socket) ?? presentedChain(socket);
    this.chains.set(socket, chain);
    const peer = this.validator.validateDer(chain, at);
    if (!this.authorize(peer)) {
      throw new SpiffeError('peer_not_authorized', 'the peer is somebody else than this connection is for');
    }
    return peer;
  }
}

/**
 * An agent for Node's `https`: shows the SVID as it is at each new connection, and sends nothing to a server whose SVID
 * is not good, or is not one of those that `authorize` takes. Open connections stay in use over a rotation, until the
 * server's certificate ends or its bundle is gone.
 */
export class SpiffeAgent extends Agent {
  private readonly verifier: PeerVerifier;

  constructor(
    private readonly identity: OwnIdentity,
    authorize: Authorize,
    options: AgentOptions = {},
  ) {
    // No sessions are resumed: a resumed one shows no certificate.
    super({ keepAlive: true, ...options, maxCachedSessions: 0 });
    this.verifier = new PeerVerifier(identity, 'serverAuth', authorize);
  }

  override createConnection(options: RequestOptions, connected?: Connected): undefined {
    // Node's own callback takes an error alone; its type asks for both.
    const answer = connected as (error: Error | null, socket?: Duplex) => void;
    connectWithSvid(this.identity, this.verifier, options as ConnectionOptions).then(
      (socket) => {
        answer(null, socket);
      },
      (error: unknown) => {
        answer(error as Error);
      },
    );
  }

  override keepSocketAlive(socket: Duplex): boolean {
    // Node closes the connection unless the answer is true.
    return this.isGood(socket) && KEEPS_ALIVE.keepSocketAlive.call(this, socket) === true;
  }

  override reuseSocket(socket: Duplex, request: ClientRequest): void {
    if (!this.isGood(socket)) socket.destroy();
    super.reuseSocket(socket, request);
  }

  private isGood(socket: Duplex): boolean {
    try {
      this.verifier.verify(socket as TLSSocket, new Date());
      return true;
    } catch (error) {
      if (!isSpiffeError(error)) throw error;
      return false;
    }
  }
}

/** Connects, and answers the connection when the peer was found good. Throws as PeerVerifier.verify, and Node's own errors. */
export function connectWithSvid(
  identity: OwnIdentity,
  verifier: PeerVerifier,
  options: ConnectionOptions,
): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      ...options,
      ...ownCertificate(identity),
      // By its SPIFFE ID, not by a host name, and by the bundle of its own trust domain: below.
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
    });
    socket.once('error', reject);
    socket.once('secureConnect', () => {
      try {
        verifier.verify(socket, new Date());
      } catch (error) {
        socket.destroy();
        reject(error instanceof Error ? error : new Error('the peer cannot be verified', { cause: error }));
        return;
      }
      socket.off('error', reject);
      resolve(socket);
    });
  });
}
