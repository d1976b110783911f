import type { TLSSocket } from 'node:tls';
import { createParamDecorator } from '@nestjs/common';
import type { CanActivate, ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { X509SvidValidator } from '../../adapters/spiffe/x509-svid';
import { AtbError } from '../../domain/error';
import { parseAtbSpiffeId } from '../../domain/spiffe-id';
import type { IdentityEvidence } from '../../domain/mandate-request';

/** Who is at the other end of this connection, and the proof of it that the worker verifies again. */
export interface CallerIdentity {
  readonly spiffeId: string;
  readonly evidence: IdentityEvidence;
}

type WithCaller = FastifyRequest & { caller?: CallerIdentity };

/** Reads the certificates that a client showed, leaf first. They stay the same for as long as a connection lives. */
class PresentedChains {
  private readonly chains = new WeakMap<object, readonly string[]>();

  of(socket: TLSSocket): readonly string[] {
    const known = this.chains.get(socket);
    if (known) return known;
    const chain: string[] = [];
    let certificate = socket.getPeerX509Certificate();
    // The last one's issuer is itself, or nothing.
    while (certificate && !chain.includes(certificate.raw.toString('base64'))) {
      chain.push(certificate.raw.toString('base64'));
      certificate = certificate.issuerCertificate;
    }
    if (chain.length > 0) this.chains.set(socket, chain);
    return chain;
  }
}

/**
 * Every call needs an X.509-SVID on its connection. The TLS layer lets any certificate in, so that the refusal can say
 * what is wrong; the key was proven in the handshake, the chain is judged here, at every request.
 */
export class ClientCertificateGuard implements CanActivate {
  private readonly chains = new PresentedChains();

  constructor(private readonly svids: X509SvidValidator) {}

  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<WithCaller>();
    const chain = this.chains.of(request.raw.socket as TLSSocket);
    if (chain.length === 0) {
      throw new AtbError('certificate_missing', 'this call needs a client certificate, an X.509-SVID');
    }
    const now = new Date();
    // One spelling for one principal: SPIFFE allows upper case in a path, we do not (attack 4).
    const spiffeId = parseAtbSpiffeId(this.svids.validate(chain, now).spiffeId).uri;
    request.caller = { spiffeId, evidence: { chain, presentedAt: Math.floor(now.getTime() / 1000) } };
    return true;
  }
}

/** The caller, in a controller behind the guard. */
export const Caller = createParamDecorator((_: unknown, context: ExecutionContext): CallerIdentity => {
  return callerOf(context.switchToHttp().getRequest<WithCaller>());
});

export function callerOf(request: WithCaller): CallerIdentity {
  if (!request.caller) throw new AtbError('internal', 'a call went past the certificate guard');
  return request.caller;
}
