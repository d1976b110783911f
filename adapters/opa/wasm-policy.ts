import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadPolicy } from '@open-policy-agent/opa-wasm';
import { AtbError } from '../../domain/error';
import { parseIdentityAnswer } from '../../domain/identity-mapping';
import type { IdentityAnswer, IdentityQuestion } from '../../domain/identity-mapping';
import { parseChangePlan } from '../../domain/change';
import type { ChangePlan } from '../../domain/change';
import { parseDigestPlan } from '../../domain/digest-plan';
import type { DigestPlan } from '../../domain/digest-plan';
import { parseReviewDecision } from '../../domain/break-glass-review';
import type { ReviewDecision, ReviewQuestion } from '../../domain/break-glass-review';
import { isJsonObject } from '../../domain/json';
import type { Json, JsonObject } from '../../domain/json';
import {
  deputiesInputJson,
  parseDeputies,
  parsePolicyDecision,
  parsePrincipal,
  policyInputJson,
} from '../../domain/policy';
import type { DeputiesQuestion, PolicyDecision, PolicyInput, Principal } from '../../domain/policy';
import type { PolicyEngine } from '../../domain/ports';
import { parseRedemptionDecision, redemptionInputJson } from '../../domain/redemption';
import type { RedemptionDecision, RedemptionInput } from '../../domain/redemption';
import { parseContacts, requireContacts } from '../../domain/contacts';
import type { Contact } from '../../domain/contacts';
import { consultationInputJson, parseConsultationDecision } from '../../domain/consultation';
import type { ConsultationDecision, ConsultationInput } from '../../domain/consultation';
import { incidentInputJson, parseIncidentDecision } from '../../domain/incident';
import type { IncidentDecision, IncidentInput } from '../../domain/incident';
import { parseWatchPlan } from '../../domain/incident-watch';
import type { WatchPlan } from '../../domain/incident-watch';
import { parseSignOffDecision, signOffInputJson } from '../../domain/proposal';
import type { SignOffDecision, SignOffInput } from '../../domain/proposal';
import { parseStopDecision, stopInputJson } from '../../domain/stop';
import type { StopDecision, StopInput } from '../../domain/stop';
import type { PolicyRecorder } from './policy-recorder';

type LoadedPolicy = Awaited<ReturnType<typeof loadPolicy>>;

/** One revision of the policy as WebAssembly, in the process: microseconds, and no other server. It never changes. */
export class WasmPolicy implements PolicyEngine {
  private constructor(
    private readonly policy: LoadedPolicy,
    private readonly data: JsonObject,
    readonly revision: string,
    private readonly recorder: PolicyRecorder | undefined,
    private readonly timeZone: string | null,
  ) {}

  /** Throws `policy_bundle_refused` where it cannot be loaded or has no revision. */
  static async of(
    { wasm, data }: { readonly wasm: Uint8Array; readonly data: JsonObject },
    recorder?: PolicyRecorder,
  ): Promise<WasmPolicy> {
    const { revision } = data;
    if (typeof revision !== 'string' || revision === '') {
      throw new AtbError('policy_bundle_refused', 'the policy data has no revision');
    }
    requireContacts(data);
    try {
      const policy = await loadPolicy(wasm);
      policy.setData(data);
      return new WasmPolicy(policy, data, revision, recorder, timeZoneOf(data.calendar));
    } catch (cause) {
      throw new AtbError('policy_bundle_refused', 'the policy cannot be loaded', { cause });
    }
  }

  /** Loads `policy.wasm` and `data.json` from a folder: as built, unsigned. Throws `configuration_invalid`. */
  static async load(folder: string): Promise<WasmPolicy> {
    try {
      const data: unknown = JSON.parse(await readFile(join(folder, 'data.json'), 'utf8'));
      if (!isJsonObject(data)) throw new Error('data.json is no object');
      return await WasmPolicy.of({ wasm: await readFile(join(folder, 'policy.wasm')), data });
    } catch (cause) {
      throw new AtbError('configuration_invalid', `the policy in ${folder} cannot be loaded`, { cause });
    }
  }

  snapshot(): this {
    return this;
  }

  onChange(): () => void {
    return () => undefined;
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- async turns what is thrown into a rejection.
  async decide(input: PolicyInput): Promise<PolicyDecision> {
    const question = policyInputJson(input, this.timeZone);
    this.recorder?.record(question, this.data, (input) => this.evaluate(input, 'atb/poa/decision'));
    return parsePolicyDecision(this.evaluate(question, 'atb/poa/decision'));
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- as above.
  async principal(id: string): Promise<Principal> {
    return parsePrincipal(this.evaluate({ id }, 'atb/directory/principal'));
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- as above.
  async deputies(question: DeputiesQuestion): Promise<readonly string[]> {
    const input = deputiesInputJson(question, this.timeZone);
    return parseDeputies(this.evaluate(input, 'atb/directory/deputies'));
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- as above.
  async identity(question: IdentityQuestion): Promise<IdentityAnswer> {
    return parseIdentityAnswer(this.evaluate(question, 'atb/identity/answer'));
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- as above.
  async redemption(input: RedemptionInput): Promise<RedemptionDecision> {
    return parseRedemptionDecision(
      this.evaluate(redemptionInputJson(input, this.timeZone), 'atb/redemption/decision'),
    );
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- as above.
  async stop(input: StopInput): Promise<StopDecision> {
    return parseStopDecision(this.evaluate(stopInputJson(input), 'atb/revocation/decision'));
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- as above.
  async signOff(input: SignOffInput): Promise<SignOffDecision> {
    return parseSignOffDecision(this.evaluate(signOffInputJson(input), 'atb/sign_off/decision'));
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- as above.
  async digest(): Promise<DigestPlan> {
    return parseDigestPlan(this.evaluate({}, 'atb/responsibility/digest'));
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- as above.
  async contacts(): Promise<ReadonlyMap<string, Contact>> {
    return parseContacts(this.evaluate({}, 'atb/responsibility/reached'));
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- as above.
  async review(question: ReviewQuestion): Promise<ReviewDecision> {
    return parseReviewDecision(this.evaluate(question, 'atb/review/decision'));
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- as above.
  async incidentWatch(): Promise<WatchPlan> {
    return parseWatchPlan(this.evaluate({}, 'atb/incident/watch'));
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- as above.
  async incident(input: IncidentInput): Promise<IncidentDecision> {
    return parseIncidentDecision(this.evaluate(incidentInputJson(input), 'atb/incident/decision'));
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- as above.
  async consultation(input: ConsultationInput): Promise<ConsultationDecision> {
    return parseConsultationDecision(
      this.evaluate(consultationInputJson(input), 'atb/consultation/decision'),
    );
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- as above.
  async changePlan(): Promise<ChangePlan> {
    return parseChangePlan(this.evaluate({}, 'atb/change/plan'));
  }

  /** The document that a rule gives, as it is. Throws `policy_unavailable`. */
  evaluate(input: unknown, entrypoint: string): unknown {
    let results: unknown;
    try {
      results = this.policy.evaluate(input, entrypoint);
    } catch (cause) {
      throw new AtbError('policy_unavailable', 'policy cannot be evaluated', { cause });
    }
    const [first] = Array.isArray(results) ? (results as readonly unknown[]) : [];
    return isJsonObject(first) ? first.result : undefined;
  }
}

function timeZoneOf(calendar: Json | undefined): string | null {
  const zone = isJsonObject(calendar) ? calendar.time_zone : undefined;
  return typeof zone === 'string' ? zone : null;
}
