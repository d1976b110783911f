import type { JsonObject } from '../../domain/json';
import type { Proposed } from '../../domain/proposal';
import { Signer } from './signer';
import type { TestStack } from './stack';

/** What Security approves of a bundle. */
export const policyProposal = (
  { revision, digest }: { readonly revision: string; readonly digest: string },
  tests: JsonObject = { passed: 262, failed: 0 },
): Proposed => ({
  kind: 'policy_bundle',
  name: revision,
  content: { revision, bundle_digest: digest, tests },
});

/** Heidi proposes a bundle, and Dave of Security approves it. */
export async function approvePolicy(
  stack: Pick<TestStack, 'as' | 'identity'>,
  bundle: { readonly revision: string; readonly digest: string },
): Promise<void> {
  const proposed = policyProposal(bundle);
  const id = String(
    (await new Signer(stack, 'person/heidi', 'team_lead').propose(proposed)).body.proposal_id,
  );
  const { body } = await new Signer(stack, 'person/dave', 'security_lead').signOff(
    id,
    proposed,
    'security_review',
  );
  expect(body).toMatchObject({ state: 'approved' });
}
