import { AtbError } from '../../domain/error';
import { parseIdentityAnswer } from '../../domain/identity-mapping';
import type { IdentityAnswer, IdentityQuestion } from '../../domain/identity-mapping';
import { isJsonObject } from '../../domain/json';
import { parsePolicyDecision, parsePrincipal, policyInputJson } from '../../domain/policy';
import type { PolicyDecision, PolicyInput, Principal } from '../../domain/policy';
import type { PolicyEngine } from '../../domain/ports';
import { parseRedemptionDecision, redemptionInputJson } from '../../domain/redemption';
import type { RedemptionDecision, RedemptionInput } from '../../domain/redemption';
import { parseStopDecision, stopInputJson } from '../../domain/stop';
import type { StopDecision, StopInput } from '../../domain/stop';

// A sidecar answers in a millisecond; one that does not is out of reach.
const TIMEOUT_MS = 1_000;

/** The policy in an OPA sidecar (OPA REST API, "Get a Document with Input"), for GitOps delivery of bundles. */
export class SidecarPolicy implements PolicyEngine {
  private constructor(
    private readonly url: string,
    readonly revision: string,
  ) {}

  /** Connects to an OPA; its address must be loopback or the sidecar's own network. Throws `policy_unavailable`. */
  static async connect(url: string): Promise<SidecarPolicy> {
    const revision = await ask(url, 'revision', {});
    if (typeof revision !== 'string')
      throw new AtbError('policy_unavailable', 'OPA has no policy with a revision');
    return new SidecarPolicy(url, revision);
  }

  async decide(input: PolicyInput): Promise<PolicyDecision> {
    return parsePolicyDecision(await ask(this.url, 'atb/poa/decision', policyInputJson(input)));
  }

  async principal(id: string): Promise<Principal> {
    return parsePrincipal(await ask(this.url, 'atb/directory/principal', { id }));
  }

  async identity(question: IdentityQuestion): Promise<IdentityAnswer> {
    return parseIdentityAnswer(await ask(this.url, 'atb/identity/answer', question));
  }

  async redemption(input: RedemptionInput): Promise<RedemptionDecision> {
    return parseRedemptionDecision(
      await ask(this.url, 'atb/redemption/decision', redemptionInputJson(input)),
    );
  }

  async stop(input: StopInput): Promise<StopDecision> {
    return parseStopDecision(await ask(this.url, 'atb/revocation/decision', stopInputJson(input)));
  }
}

async function ask(url: string, path: string, input: unknown): Promise<unknown> {
  try {
    const response = await fetch(new URL(`/v1/data/${path}`, url), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ input }),
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (!response.ok) throw new Error(`OPA answered ${response.status}`);
    const body: unknown = await response.json();
    return isJsonObject(body) ? body.result : undefined;
  } catch (cause) {
    throw new AtbError('policy_unavailable', 'OPA cannot be reached', { cause });
  }
}
