import { AtbError, isAtbError } from '../domain/error';
import type { MandateClaims } from '../domain/mandate';
import type { Revocation, RevocationRequest } from '../domain/mandate-lifecycle';
import { identify } from './identity';
import type { ActivityPorts } from './ports';

/** RFC 7009: the agent gives up its own mandate, or someone whom policy lets revoke any takes it away. */
export async function revokeMandate(ports: ActivityPorts, request: RevocationRequest): Promise<Revocation> {
  let claims: MandateClaims;
  try {
    claims = await ports.mandates.open(request.token);
  } catch (error) {
    // RFC 7009 §2.2: the purpose is achieved, the token is of no use to anybody.
    if (isAtbError(error) && error.code === 'mandate_invalid') return { done: true };
    throw error;
  }
  const caller = (await identify(ports, request.evidence, null)).spiffeId;
  if (caller !== claims.sub && !(await ports.policy.principal(caller)).mayRevokeAny) {
    const { code, message } = new AtbError(
      'agent_mismatch',
      'only its agent or Security may revoke a mandate',
    );
    return { done: false, code, message };
  }
  await ports.ledger.revoke(claims.jti, {
    id: `${claims.req}/poa_revoked`,
    type: 'poa_revoked',
    time: ports.clock(),
    requestId: claims.req,
    actor: caller,
    subject: claims.sub,
    action: claims.act,
    tier: claims.tier,
    reasons: [],
    ...(caller !== claims.sub && { personal: { '/actor': caller } }),
    data: { jti: claims.jti },
  });
  return { done: true };
}
