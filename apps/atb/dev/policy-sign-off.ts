import { setTimeout as sleep } from 'node:timers/promises';
import { testPolicy } from '../../../adapters/opa/policy-tests';
import { AtbError } from '../../../domain/error';
import { policyProposal } from '../../../domain/policy-approval';
import type { PolicyEngine } from '../../../domain/ports';
import type { BuiltPolicy } from './policy';
import type { ExamplePeople } from './sign-off';
import { writePrivate } from './state';

const TAKEN_WITHIN_MS = 60_000;
const LOOK_AGAIN_MS = 50;

/**
 * The example company approves its policy (operating model §2.3), as people would by `atb policy`, and delivers it: tests
 * first, then Security's word. Throws `policy_not_approved` where a test fails.
 */
export async function signOffPolicy(
  people: ExamplePeople,
  { revision, digest, bytes, built, source }: BuiltPolicy,
  { bundleFile, policy }: { readonly bundleFile: string; readonly policy: PolicyEngine },
): Promise<void> {
  const { passed, failed } = await testPolicy(source, built);
  if (failed.length > 0) {
    throw new AtbError('policy_not_approved', `tests of policy ${revision} fail: ${failed.join(', ')}`);
  }
  const proposed = policyProposal({ revision, bundleDigest: digest, tests: { passed, failed: 0 } });
  if (!(await people.haveApproved(proposed))) {
    await people.signOff(proposed, { by: 'heidi', role: 'team_lead', reason: 'built on this machine' }, [
      { by: 'dave', role: 'security_lead', step: 'security_review', reason: `${passed} tests passed` },
    ]);
  }
  await writePrivate(bundleFile, bytes);
  for (const until = Date.now() + TAKEN_WITHIN_MS; policy.revision !== revision;) {
    if (Date.now() > until) throw new AtbError('policy_not_approved', `policy ${revision} was not taken`);
    await sleep(LOOK_AGAIN_MS);
  }
}
