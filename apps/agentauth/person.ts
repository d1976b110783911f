import { AtbError } from '../../domain/error';
import type { ErrorCode } from '../../domain/error';
import type { Principal } from '../../domain/policy';
import type { PolicyEngine } from '../../domain/ports';
import type { CallerIdentity } from './caller-identity';

/** Who calls, where that is a person of the directory; otherwise throws the code: what is asked for is theirs. */
export async function personOf(
  policy: Pick<PolicyEngine, 'principal'>,
  { spiffeId }: CallerIdentity,
  refusal: { readonly code: ErrorCode; readonly what: string },
): Promise<Principal> {
  const principal = await policy.principal(spiffeId);
  if (principal.kind !== 'person') {
    throw new AtbError(refusal.code, `${refusal.what} are for people of the directory`);
  }
  return principal;
}
