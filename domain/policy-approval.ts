import { AtbError } from './error';
import { isJsonObject } from './json';
import type { Proposed } from './proposal';

/** What Security approves of a policy bundle (operating model §2.3). */
export interface PolicyApproval {
  readonly revision: string;
  /** Base64url SHA-256 over everything in the bundle but its signature. */
  readonly bundleDigest: string;
  /** What `opa test` said: nothing may have failed. */
  readonly tests: { readonly passed: number; readonly failed: 0 };
}

/** What is proposed to Security. */
export function policyProposal({ revision, bundleDigest, tests }: PolicyApproval): Proposed {
  const content = { revision, bundle_digest: bundleDigest, tests: { ...tests } };
  return { kind: 'policy_bundle', name: revision, content };
}

/** The content of a proposal of the kind `policy_bundle`. Throws `proposal_malformed`. */
export function parsePolicyApproval({ name, content }: Pick<Proposed, 'name' | 'content'>): PolicyApproval {
  const { revision, bundle_digest: bundleDigest, tests, ...unknown } = content;
  const { passed, failed } = isJsonObject(tests) ? tests : {};
  if (Object.keys(unknown).length > 0) throw malformed('it has members that do not belong there');
  if (revision !== name) throw malformed('its name is not its revision');
  if (typeof bundleDigest !== 'string' || !/^[A-Za-z0-9_-]{43}$/.test(bundleDigest)) {
    throw malformed('its bundle_digest is no SHA-256');
  }
  if (!Number.isSafeInteger(passed) || (passed as number) < 1 || failed !== 0) {
    throw malformed('its tests are not green: some must have passed, and none failed');
  }
  return { revision: name, bundleDigest, tests: { passed: passed as number, failed } };
}

function malformed(why: string): AtbError {
  return new AtbError('proposal_malformed', `the policy's proposal is malformed: ${why}`);
}
