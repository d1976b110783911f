import type { FastifyRequest } from 'fastify';
import { verifyDpopProof } from '../../adapters/jose/dpop';
import { AtbError } from '../../domain/error';
import type { CallerTokens } from '../../domain/ports';
import type { CallerIdentity } from './caller-identity';

/** RFC 9449 §7.1. */
const SCHEME = /^DPoP ([A-Za-z0-9._~+/-]+=*)$/i;
/** Above this nobody new gets in until some have gone. */
const MOST_REMEMBERED = 100_000;

/** Callers that come with a token and a DPoP proof over this very call (RFC 9449 §7). */
export class BoundTokens {
  /** The proofs of the last minute. */
  private readonly proofs = new Recent<true>();
  /** The key that each JWT-SVID came with first. */
  private readonly firstKeys = new Recent<string>();

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
    const verified = await this.tokens.verify(token, now);
    // A JWT-SVID is bound to no key by itself: to the one of whoever shows it first, which is not a thief.
    const jkt =
      verified.jkt ??
      this.firstKeys.remember(verified.digest, proven.jkt, verified.expiresAt, now) ??
      proven.jkt;
    if (jkt !== proven.jkt) throw new AtbError('token_invalid', 'the token is bound to another key');
    const presentedAt = Math.floor(now.getTime() / 1000);
    return { spiffeId: verified.spiffeId, evidence: { kind: 'token', token, proof, url, presentedAt } };
  }

  /** The call's proof, checked and used up. */
  proof(request: FastifyRequest, now: Date, token?: string): { proof: string; url: string; jkt: string } {
    const { dpop: proof } = request.headers;
    if (typeof proof !== 'string') throw new AtbError('dpop_proof_invalid', 'there must be one DPoP proof');
    const url = new URL(request.url.split('?')[0] ?? '/', this.publicUrl).toString();
    const expected = { method: request.method, url, now, ...(token !== undefined && { token }) };
    const { jkt, jti, expiresAt } = verifyDpopProof(proof, expected);
    // What asks for something is used up in the database too, by the worker.
    if (this.proofs.remember(`${jkt}/${jti}`, true, expiresAt, now) !== undefined) {
      throw new AtbError('proof_replayed', 'this DPoP proof came before');
    }
    return { proof, url, jkt };
  }
}

/** What came recently (RFC 9449 §11.1). */
class Recent<T> {
  /** In the order of their coming, which is about that of their ends. */
  private readonly entries = new Map<string, { readonly value: T; readonly end: number }>();

  /** What came under that key before; undefined where nothing did, and then the value is remembered. */
  remember(key: string, value: T, expiresAt: Date, now: Date): T | undefined {
    for (const [oldest, { end }] of this.entries) {
      if (end > now.getTime()) break;
      this.entries.delete(oldest);
    }
    const known = this.entries.get(key);
    if (known) return known.value;
    if (this.entries.size >= MOST_REMEMBERED) {
      throw new AtbError('too_many_requests', 'too many calls with DPoP proofs at once');
    }
    this.entries.set(key, { value, end: expiresAt.getTime() });
    return undefined;
  }
}
