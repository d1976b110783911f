import { isAtbError } from '../domain/error';
import type { MandateClaims } from '../domain/mandate';
import type { Introspection, IntrospectionRequest } from '../domain/mandate-lifecycle';
import { epochSeconds } from './assessment';
import { identify } from './identity';
import type { ActivityPorts } from './ports';

/** RFC 7662 §2.2: whatever is not proven active is inactive, and nothing more is said of it. */
export async function introspectMandate(
  ports: ActivityPorts,
  request: IntrospectionRequest,
): Promise<Introspection> {
  let claims: MandateClaims;
  try {
    claims = await ports.mandates.open(request.token);
  } catch (error) {
    if (isAtbError(error) && error.code === 'mandate_invalid') return { active: false };
    throw error;
  }
  // Only the mandate's own agent, its audience (the broker) and people of the directory may look inside.
  const caller = (await identify(ports, request.evidence, null)).spiffeId;
  const principal = await ports.policy.principal(caller);
  const mayLook = caller === claims.sub || caller === claims.aud || principal.kind === 'person';
  const now = epochSeconds(ports.clock());
  const timely = claims.nbf <= now && now < claims.exp;
  if (!mayLook || !timely || (await ports.ledger.isRevoked(claims.jti))) return { active: false };
  return { active: true, claims };
}
