import type { TLSSocket } from 'node:tls';
import 'reflect-metadata';
import { createParamDecorator, SetMetadata } from '@nestjs/common';
import type { CanActivate, ExecutionContext } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Svids } from '../../adapters/identity/svids';
import { PresentedChains } from '../../adapters/spiffe';
import { AtbError } from '../../domain/error';
import { parseAtbSpiffeId } from '../../domain/spiffe-id';
import type { IdentityEvidence } from '../../domain/mandate-request';
import type { BoundTokens } from './bound-tokens';
import type { CallerIdentity } from './caller-identity';
import { clientCertificateOf, hasClientCertificate } from './client-cert';

type WithCaller = FastifyRequest & { caller?: CallerIdentity };

export interface CallerRules {
  readonly svids: Svids;
  readonly tokens: BoundTokens;
  /** SPIFFE IDs of the hops that end TLS for agents, and say in RFC 9440's headers whose certificate they saw. */
  readonly trustedProxies: ReadonlySet<string>;
}

/**
 * Every call proves who makes it, in one way: the X.509-SVID on its connection; a token and a DPoP proof (RFC 9449);
 * or the certificate that a hop of ours saw (RFC 9440), which counts from a hop with the right SVID of its own and is
 * refused from everybody else. What is there and not good ends the call: nothing is fallen back to (attack 1). The TLS
 * layer lets any certificate in, so that the refusal can say what is wrong; its key was proven in the handshake, the
 * chain is judged here, at every request.
 */
export class CallerGuard implements CanActivate {
  private readonly chains = new PresentedChains();

  constructor(private readonly rules: CallerRules) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    if (Reflect.getMetadata(PUBLIC, context.getHandler()) === true) return true;
    const http = context.switchToHttp();
    const request = http.getRequest<WithCaller>();
    request.caller = await this.identify(request, http.getResponse<FastifyReply>(), new Date());
    return true;
  }

  private async identify(request: FastifyRequest, reply: FastifyReply, now: Date): Promise<CallerIdentity> {
    const chain = this.chains.of(request.raw.socket as TLSSocket);
    // Judged whatever else there is: a connection with a certificate that is not good is nobody's, and is closed.
    void reply.header('connection', 'close');
    const peer = chain.length === 0 ? undefined : this.svidOf(chain, now);
    void reply.removeHeader('connection');
    const isProxy = peer !== undefined && this.rules.trustedProxies.has(peer);
    const { authorization } = request.headers;
    if (hasClientCertificate(request.raw.rawHeaders)) {
      if (!isProxy) {
        throw new AtbError(
          'proxy_not_trusted',
          'Client-Cert counts only from a hop that is configured for it',
        );
      }
      if (authorization !== undefined) throw twoWays();
      const forwarded = clientCertificateOf(request.raw.rawHeaders);
      return { spiffeId: this.svidOf(forwarded, now), evidence: certificate(forwarded, now) };
    }
    if (authorization !== undefined || request.headers.dpop !== undefined) {
      if (peer !== undefined && !isProxy) throw twoWays();
      return this.rules.tokens.identify(request, now);
    }
    if (peer === undefined) {
      throw new AtbError('certificate_missing', 'this call needs a client certificate, an X.509-SVID');
    }
    return { spiffeId: peer, evidence: certificate(chain, now) };
  }

  private svidOf(chain: readonly string[], now: Date): string {
    // One spelling for one principal: SPIFFE allows upper case in a path, we do not (attack 4).
    return parseAtbSpiffeId(this.rules.svids.validate(chain, now).spiffeId).uri;
  }
}

function certificate(chain: readonly string[], now: Date): IdentityEvidence {
  return { chain, presentedAt: Math.floor(now.getTime() / 1000) };
}

function twoWays(): AtbError {
  return new AtbError('credentials_ambiguous', 'a call proves who makes it in one way, and not in two');
}

const PUBLIC = Symbol('public');

/** A call that brings a proof of its own kind, and is not looked at by the guard. */
export const Public = () => SetMetadata(PUBLIC, true);

/** The caller, in a controller behind the guard. */
export const Caller = createParamDecorator((_: unknown, context: ExecutionContext): CallerIdentity => {
  return callerOf(context.switchToHttp().getRequest<WithCaller>());
});

/** Who proved to be calling; undefined where nobody did. */
export function provenCaller(request: WithCaller): CallerIdentity | undefined {
  return request.caller;
}

export function callerOf(request: WithCaller): CallerIdentity {
  if (!request.caller) throw new AtbError('internal', 'a call went past the guard');
  return request.caller;
}
