import type { FastifyRequest } from 'fastify';
import { verifyDpopProof } from '../../adapters/jose/dpop';
import { AtbError } from '../../domain/error';
import type { CallerTokens } from '../../domain/ports';
import type { CallerIdentity } from './caller-identity';

/** RFC 9449 §7.1. */
const SCHEME = /^DPoP ([A-Za-z0-9._~+/-]+=*)$/i;
/** Proofs live for a minute; above this nobody new gets in until some have gone. */
const MOST_REMEMBERED = 100_000;

/** Callers that come with a token and a DPoP proof over this very call (RFC 9449 §7). */
export class BoundTokens {
  /** The proofs of the last minute, each with its end in epoch milliseconds, oldest first. */
  private readonly used = new Map<string, number>();

  constructor(
    private readonly tokens: CallerTokens,
    /** Where agents reach AgentAuth: what proofs are for. */
    private readonly publicUrl: string,
  ) {}

  async identify(request: FastifyRequest, now: Date): Promise<CallerIdentity> {
    const [, token] = SCHEME.exec(request.headers.authorization ?? '') ?? [];
    if (token === undefined) {
      throw new AtbError(
        'token_invalid',
        'a token comes as "Authorization: DPoP <token>", with a DPoP proof',
      );
    }
    const { url, proof, ...proven } = this.proof(request, now, token);
    const { spiffeId, jkt } = await this.tokens.verify(token, now);
    if (jkt !== null && jkt !== proven.jkt) {
      throw new AtbError('token_invalid', 'the token is bound to another key');
    }
    const presentedAt = Math.floor(now.getTime() / 1000);
    return { spiffeId, evidence: { kind: 'token', token, proof, url, presentedAt } };
  }

  /** The call's proof, checked and used up. */
  proof(request: FastifyRequest, now: Date, token?: string): { proof: string; url: string; jkt: string } {
    const { dpop: proof } = request.headers;
    if (typeof proof !== 'string') throw new AtbError('dpop_proof_invalid', 'there must be one DPoP proof');
    const url = new URL(request.url.split('?')[0] ?? '/', this.publicUrl).toString();
    const expected = { method: request.method, url, now, ...(token !== undefined && { token }) };
    const { jkt, jti, expiresAt } = verifyDpopProof(proof, expected);
    this.useUp(`${jkt}/${jti}`, expiresAt, now);
    return { proof, url, jkt };
  }

  /** RFC 9449 §11.1. What asks for something is used up in the database too, by the worker. */
  private useUp(key: string, expiresAt: Date, now: Date): void {
    for (const [oldest, end] of this.used) {
      if (end > now.getTime()) break;
      this.used.delete(oldest);
    }
    if (this.used.has(key)) throw new AtbError('proof_replayed', 'this DPoP proof came before');
    if (this.used.size >= MOST_REMEMBERED) {
      throw new AtbError('too_many_requests', 'too many calls with DPoP proofs at once');
    }
    this.used.set(key, expiresAt.getTime());
  }
}
