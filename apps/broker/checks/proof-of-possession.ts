import { verifyDpopProof } from '../../../adapters/jose/dpop';
import { AtbError } from '../../../domain/error';
import type { MandateClaims } from '../../../domain/mandate';
import type { Svid } from '../../../domain/ports';
import type { RedemptionStore } from '../../../domain/redemption';
import type { Call } from '../call';

export interface Possession {
  readonly proof: string;
  readonly mandate: MandateClaims;
  /** The mandate as it came, which the proof must name by its hash. */
  readonly compact: string;
  readonly addressed: Call['addressed'];
  /** Who is at the other end of the connection; null where it showed no certificate. */
  readonly peer: Svid | null;
  readonly now: Date;
}

export interface PossessionPorts {
  readonly store: Pick<RedemptionStore, 'useProof'>;
  /** SPIFFE IDs of the hops that may bring calls of agents. */
  readonly trustedProxies: ReadonlySet<string>;
}

/**
 * Whoever calls holds the key that the mandate is bound to (RFC 9449 §7.1): a proof by that key, over this very call
 * and this very mandate, that was never used before, in any broker. The connection is the agent's own, or a trusted
 * hop's, or nobody's. Throws `dpop_proof_invalid`, `proof_replayed`, `agent_mismatch`, `audit_unavailable`.
 */
export async function checkProofOfPossession(
  { store, trustedProxies }: PossessionPorts,
  { proof, mandate, compact, addressed, peer, now }: Possession,
): Promise<void> {
  if (peer && peer.spiffeId !== mandate.sub && !trustedProxies.has(peer.spiffeId)) {
    throw new AtbError('agent_mismatch', 'the mandate is for another workload than the one that calls');
  }
  const { jkt, jti, expiresAt } = verifyDpopProof(proof, { ...addressed, token: compact, now });
  if (jkt !== mandate.cnf.jkt) {
    throw new AtbError('dpop_proof_invalid', 'the DPoP proof is by another key than the mandate is bound to');
  }
  if (!(await store.useProof({ key: `redemption/${jkt}/${jti}`, requestId: mandate.req, expiresAt }))) {
    throw new AtbError('proof_replayed', 'this DPoP proof was used before: make a new one for each call');
  }
}
