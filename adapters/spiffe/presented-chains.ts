import type { TLSSocket } from 'node:tls';

/** Reads the certificates that a client showed, leaf first, base64 DER. They stay the same for as long as a connection lives. */
export class PresentedChains {
  private readonly chains = new WeakMap<object, readonly string[]>();

  of(socket: TLSSocket): readonly string[] {
    const known = this.chains.get(socket);
    if (known) return known;
    const chain: string[] = [];
    let certificate = socket.getPeerX509Certificate();
    // The last one's issuer is itself, or nothing.
    while (certificate) {
      const der = certificate.raw.toString('base64');
      if (chain.includes(der)) break;
      chain.push(der);
      certificate = certificate.issuerCertificate;
    }
    if (chain.length > 0) this.chains.set(socket, chain);
    return chain;
  }
}
