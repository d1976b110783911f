import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:tls';
import type { Server, TLSSocket } from 'node:tls';
import type { TlsIdentity } from './http';

/**
 * TLS in front of a Temporal without it: who shows no certificate of the authority is refused, and a connection ends
 * with the certificate that it was made with, as behind a frontend that limits how old connections get.
 */
export class TemporalHop {
  /** The serial number of each connection that was let in, in their order. */
  readonly shown: string[] = [];
  refused = 0;
  private readonly open = new Set<TLSSocket>();

  private constructor(private readonly server: Server) {}

  static async start(temporalAddress: string, identity: TlsIdentity, ca: string): Promise<TemporalHop> {
    const server = createServer({
      ...{ ...identity, ca },
      requestCert: true,
      rejectUnauthorized: true,
      ALPNProtocols: ['h2'],
    });
    const hop = new TemporalHop(server);
    const [host, port] = temporalAddress.split(':');
    server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
      // Whoever leaves before it is done was not refused; whoever is refused has a reason.
      const isRefused = error.code !== 'ECONNRESET' || (socket.authorizationError as unknown) != null;
      if (isRefused) hop.refused += 1;
    });
    server.on('secureConnection', (socket) => {
      const certificate = socket.getPeerX509Certificate();
      hop.shown.push(certificate?.serialNumber ?? '');
      hop.open.add(socket);
      const behind = connect({ host: host ?? '', port: Number(port) });
      const end = setTimeout(
        () => socket.destroy(),
        Math.min(Date.parse(certificate?.validTo ?? '') - Date.now(), 2 ** 31 - 1),
      );
      const close = () => {
        clearTimeout(end);
        hop.open.delete(socket);
        socket.destroy();
        behind.destroy();
      };
      for (const side of [socket, behind]) side.on('error', close).on('close', close);
      socket.pipe(behind).pipe(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return hop;
  }

  get address(): string {
    return `localhost:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    for (const socket of this.open) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
