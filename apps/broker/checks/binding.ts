import { AtbError } from '../../../domain/error';
import type { MandateClaims } from '../../../domain/mandate';
import type { Svid } from '../../../domain/ports';

/** The mandate is this workload's, and bound to the very certificate of this connection (RFC 8705 §3). */
export function checkBinding(mandate: Pick<MandateClaims, 'sub' | 'cnf'>, svid: Svid): void {
  if (mandate.cnf.jkt !== undefined) {
    throw new AtbError(
      'dpop_proof_invalid',
      'the mandate is bound to a key: the call must have one DPoP header, a proof by that key (RFC 9449)',
    );
  }
  if (mandate.sub !== svid.spiffeId) {
    throw new AtbError('agent_mismatch', 'the mandate is for another workload than the one that calls');
  }
  if (mandate.cnf['x5t#S256'] !== svid.x5tS256) {
    throw new AtbError(
      'mandate_bound_to_other_certificate',
      'the mandate is bound to another certificate of this workload, which was probably renewed since: ask AgentAuth ' +
        'for a new mandate (POST /issue) over a connection with the certificate that is used now',
    );
  }
}
