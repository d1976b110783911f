import { openSignedRequest } from '../../adapters/jose/signed-request';
import type { Svids } from '../../adapters/identity/svids';
import { AtbError } from '../../domain/error';
import { SignedBody } from './body';
import { parseAtbSpiffeId } from '../../domain/spiffe-id';
import type { CallerIdentity } from './caller-identity';

/**
 * Reads a body that may come signed by the agent. What is checked here only spares the agent a refusal later, and
 * keeps a statement from being carried in by somebody else: the worker verifies all of it itself.
 */
export class SignedRequests {
  constructor(
    private readonly svids: Svids,
    /** The audience of signed requests. */
    private readonly issuer: string,
    /** SPIFFE IDs of those who may bring requests that agents signed: they carry, and ask for nothing themselves. */
    private readonly carriers: ReadonlySet<string>,
  ) {}

  /** The body that was meant, and the caller with the statement as its evidence; an unsigned body is handed on as is. */
  open(caller: CallerIdentity, body: unknown, path: string): { caller: CallerIdentity; body: unknown } {
    if (!(body instanceof SignedBody)) return { caller, body };
    const { statement } = body;
    const { claims, chain } = openSignedRequest(statement);
    const signer = this.svids.validate(chain, new Date()).spiffeId;
    if (signer !== caller.spiffeId && !this.carriers.has(caller.spiffeId)) {
      throw new AtbError('agent_mismatch', 'the request was signed by somebody other than who sends it');
    }
    if (claims.aud !== this.issuer || claims.path !== path) {
      throw new AtbError(
        'signed_request_mismatch',
        `the request was signed for POST ${claims.path} at ${claims.aud}, not for this call`,
      );
    }
    const { presentedAt } = caller.evidence;
    return {
      caller: {
        spiffeId: parseAtbSpiffeId(signer).uri,
        evidence: { kind: 'signed_request', statement, presentedAt },
      },
      body: claims.body,
    };
  }
}
