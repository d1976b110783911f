import { setTimeout as sleep } from 'node:timers/promises';
import { circuitBreaker, ConsecutiveBreaker, handleAll, isBrokenCircuitError } from 'cockatiel';
import type { CircuitBreakerPolicy } from 'cockatiel';
import { parseChangePlan } from '../../domain/change';
import type { ChangePlan } from '../../domain/change';
import { parseDigestPlan } from '../../domain/digest-plan';
import type { DigestPlan } from '../../domain/digest-plan';
import { parseReviewDecision } from '../../domain/break-glass-review';
import type { ReviewDecision, ReviewQuestion } from '../../domain/break-glass-review';
import { AtbError } from '../../domain/error';
import { visible } from '../../domain/foreign-text';
import { parseIdentityAnswer } from '../../domain/identity-mapping';
import type { IdentityAnswer, IdentityQuestion } from '../../domain/identity-mapping';
import { isJsonObject } from '../../domain/json';
import {
  deputiesInputJson,
  parseDeputies,
  parsePolicyDecision,
  parsePrincipal,
  policyInputJson,
} from '../../domain/policy';
import type { DeputiesQuestion, PolicyDecision, PolicyInput, Principal } from '../../domain/policy';
import type { PolicyChange, PolicyEngine } from '../../domain/ports';
import { parseRedemptionDecision, redemptionInputJson } from '../../domain/redemption';
import type { RedemptionDecision, RedemptionInput } from '../../domain/redemption';
import { parseContacts } from '../../domain/contacts';
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
import { PolicyListeners } from './policy-listeners';

export interface SidecarOptions {
  /** HTTPS, or HTTP on loopback: a sidecar shares the network of its process. */
  readonly url: string;
  /** What the sidecar's `system.authz` asks for. */
  readonly token: string;
  readonly timeoutMs: number;
  readonly pollSeconds: number;
  /** Whether a policy of this revision may decide. */
  readonly mayDecide: (revision: string) => boolean;
  /** How long a sidecar that is given its first bundle is waited for; not at all unless told. */
  readonly startsWithinMs?: number;
}

// A sidecar that failed five times in a row is not asked for a second: nobody waits for its timeout meanwhile.
const FAILURES_THAT_OPEN = 5;
const OPEN_MS = 1_000;
const ASK_AGAIN_MS = 100;

interface Answered {
  readonly result: unknown;
  readonly revision: string;
}

/** The questions, whoever passes them on. */
abstract class Asking {
  protected abstract ask(path: string, input: unknown): Promise<Answered>;

  private zone: { readonly revision: string; readonly name: string | null } | undefined;

  async decide(input: PolicyInput): Promise<PolicyDecision> {
    const { result, revision } = await this.askInZone('atb/poa/decision', (zone) =>
      policyInputJson(input, zone),
    );
    const decision = parsePolicyDecision(result);
    if (decision.policyRevision !== revision) {
      throw new AtbError('policy_unavailable', 'OPA answered with a revision that its bundle does not have');
    }
    return decision;
  }

  async principal(id: string): Promise<Principal> {
    return parsePrincipal((await this.ask('atb/directory/principal', { id })).result);
  }

  async deputies(question: DeputiesQuestion): Promise<readonly string[]> {
    const { result } = await this.askInZone('atb/directory/deputies', (zone) =>
      deputiesInputJson(question, zone),
    );
    return parseDeputies(result);
  }

  async identity(question: IdentityQuestion): Promise<IdentityAnswer> {
    return parseIdentityAnswer((await this.ask('atb/identity/answer', question)).result);
  }

  async redemption(input: RedemptionInput): Promise<RedemptionDecision> {
    const { result } = await this.askInZone('atb/redemption/decision', (zone) =>
      redemptionInputJson(input, zone),
    );
    return parseRedemptionDecision(result);
  }

  async stop(input: StopInput): Promise<StopDecision> {
    return parseStopDecision((await this.ask('atb/revocation/decision', stopInputJson(input))).result);
  }

  async signOff(input: SignOffInput): Promise<SignOffDecision> {
    return parseSignOffDecision((await this.ask('atb/sign_off/decision', signOffInputJson(input))).result);
  }

  async digest(): Promise<DigestPlan> {
    return parseDigestPlan((await this.ask('atb/responsibility/digest', {})).result);
  }

  async contacts(): Promise<ReadonlyMap<string, Contact>> {
    return parseContacts((await this.ask('atb/responsibility/reached', {})).result);
  }

  async review(question: ReviewQuestion): Promise<ReviewDecision> {
    return parseReviewDecision((await this.ask('atb/review/decision', question)).result);
  }

  async incidentWatch(): Promise<WatchPlan> {
    return parseWatchPlan((await this.ask('atb/incident/watch', {})).result);
  }

  async incident(input: IncidentInput): Promise<IncidentDecision> {
    return parseIncidentDecision((await this.ask('atb/incident/decision', incidentInputJson(input))).result);
  }

  async consultation(input: ConsultationInput): Promise<ConsultationDecision> {
    const { result } = await this.ask('atb/consultation/decision', consultationInputJson(input));
    return parseConsultationDecision(result);
  }

  async changePlan(): Promise<ChangePlan> {
    return parseChangePlan((await this.ask('atb/change/plan', {})).result);
  }

  /** Asks with the time of day in the time zone of the same revision that answers. */
  private async askInZone(path: string, inputIn: (zone: string | null) => unknown): Promise<Answered> {
    let zone = (this.zone ??= await this.askForZone());
    let answered = await this.ask(path, inputIn(zone.name));
    if (answered.revision !== zone.revision) {
      zone = this.zone = await this.askForZone();
      answered = await this.ask(path, inputIn(zone.name));
    }
    if (answered.revision === zone.revision) return answered;
    throw new AtbError('policy_unavailable', 'policy changed while it was asked; try again');
  }

  private async askForZone() {
    const { result, revision } = await this.ask('calendar/time_zone', {});
    return { revision, name: typeof result === 'string' ? result : null };
  }
}

/**
 * The policy in an OPA sidecar (OPA REST API, "Get a Document with Input"), for GitOps delivery of bundles. Out of
 * reach means no decision, and so no mandate; it is asked again by itself. Each answer carries the revision of the
 * bundle that it was evaluated with ("provenance"), of the same transaction.
 */
export class SidecarPolicy extends Asking implements PolicyEngine {
  private readonly listeners = new PolicyListeners();
  private readonly poll: NodeJS.Timeout;

  private constructor(
    private readonly sidecar: Sidecar,
    private known: string,
    pollSeconds: number,
  ) {
    super();
    sidecar.onRefused = (reason) => {
      this.tell({ change: 'refused', revision: this.known, code: 'policy_not_approved', reason });
    };
    this.poll = setInterval(() => {
      // Out of reach: each decision says so, and there is nothing to tell of a change.
      this.ask('revision', {}).catch(() => undefined);
    }, pollSeconds * 1000);
    this.poll.unref();
  }

  /** Throws `policy_unavailable` where there is no OPA with a bundle, `configuration_invalid` for plain HTTP elsewhere. */
  static async connect(options: SidecarOptions): Promise<SidecarPolicy> {
    requirePrivate(options.url);
    const sidecar = new Sidecar(options);
    const until = Date.now() + (options.startsWithinMs ?? 0);
    for (;;) {
      try {
        const { revision } = await sidecar.ask('revision', {});
        return new SidecarPolicy(sidecar, revision, options.pollSeconds);
      } catch (error) {
        if (Date.now() >= until) throw error;
        await sleep(ASK_AGAIN_MS);
      }
    }
  }

  get revision(): string {
    return this.known;
  }

  snapshot(): PolicyEngine {
    return new SidecarSnapshot(this.sidecar, this.known);
  }

  onChange(listener: (change: PolicyChange) => void): () => void {
    return this.listeners.add(listener);
  }

  /** Tells those who want to hear of changes of one that the sidecar knows nothing of. */
  tell(change: PolicyChange): void {
    this.listeners.tell(change);
  }

  close(): void {
    clearInterval(this.poll);
  }

  protected async ask(path: string, input: unknown): Promise<Answered> {
    const answered = await this.sidecar.ask(path, input);
    const previous = this.known;
    if (answered.revision !== previous) {
      this.known = answered.revision;
      this.listeners.tell({ change: 'loaded', revision: answered.revision, previous });
    }
    return answered;
  }
}

/** All answers of the revision of the first one: another bundle in between is no answer, and the step comes again. */
class SidecarSnapshot extends Asking implements PolicyEngine {
  private pinned: string | undefined;

  constructor(
    private readonly sidecar: Sidecar,
    private readonly known: string,
  ) {
    super();
  }

  get revision(): string {
    return this.pinned ?? this.known;
  }

  snapshot(): this {
    return this;
  }

  onChange(): () => void {
    return () => undefined;
  }

  protected async ask(path: string, input: unknown): Promise<Answered> {
    const answered = await this.sidecar.ask(path, input);
    this.pinned ??= answered.revision;
    if (answered.revision !== this.pinned) {
      throw new AtbError('policy_unavailable', 'policy changed while it was asked; try again');
    }
    return answered;
  }
}

/** One OPA, behind a circuit breaker. */
class Sidecar {
  private readonly breaker: CircuitBreakerPolicy = circuitBreaker(handleAll, {
    halfOpenAfter: OPEN_MS,
    breaker: new ConsecutiveBreaker(FAILURES_THAT_OPEN),
  });

  private refused = '';
  /** Told once of each policy that answers and may not decide. */
  onRefused: (reason: string) => void = () => undefined;

  constructor(private readonly options: SidecarOptions) {}

  /** Throws `policy_unavailable`, also where another policy answers than one that may decide. */
  async ask(path: string, input: unknown): Promise<Answered> {
    const answered = await this.reach(path, input);
    const { revision } = answered;
    if (this.options.mayDecide(revision)) return answered;
    const reason = `OPA answers by policy ${visible(revision)}, which was not approved`;
    if (revision !== this.refused) this.onRefused(reason);
    this.refused = revision;
    throw new AtbError('policy_unavailable', reason);
  }

  private async reach(path: string, input: unknown): Promise<Answered> {
    try {
      return await this.breaker.execute(() => this.send(path, input));
    } catch (cause) {
      const why = isBrokenCircuitError(cause)
        ? 'does not answer, and is not asked for a moment'
        : 'cannot be reached';
      throw new AtbError('policy_unavailable', `OPA ${why}`, { cause });
    }
  }

  private async send(path: string, input: unknown): Promise<Answered> {
    const { url, token, timeoutMs } = this.options;
    const response = await fetch(new URL(`/v1/data/${path}?provenance=true`, url), {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
      body: JSON.stringify({ input }),
      redirect: 'error',
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (!response.ok) {
      await response.body?.cancel();
      throw new Error(`OPA answered ${response.status}`);
    }
    const body: unknown = await response.json();
    const revision = revisionOf(body);
    if (revision === undefined) throw new Error('OPA has no bundle with a revision');
    return { result: (body as { result?: unknown }).result, revision };
  }
}

/** The revision of the one bundle that the answer was evaluated with. */
function revisionOf(body: unknown): string | undefined {
  const provenance = isJsonObject(body) ? body.provenance : undefined;
  const bundles = isJsonObject(provenance) ? provenance.bundles : undefined;
  const [bundle, ...more] = isJsonObject(bundles) ? Object.values(bundles) : [];
  const revision = isJsonObject(bundle) && more.length === 0 ? bundle.revision : undefined;
  return typeof revision === 'string' && revision !== '' ? revision : undefined;
}

/** Attack 16: over plain HTTP from another host, anybody on the way decides. */
function requirePrivate(text: string): void {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const loopback = url !== undefined && ['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname);
  if (url?.protocol === 'https:' || (url?.protocol === 'http:' && loopback)) return;
  throw new AtbError('configuration_invalid', 'OPA is asked over https, or over http on loopback only');
}
