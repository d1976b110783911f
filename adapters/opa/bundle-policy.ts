import { createHash } from 'node:crypto';
import { watch } from 'node:fs';
import type { FSWatcher } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { ChangePlan } from '../../domain/change';
import type { DigestPlan } from '../../domain/digest-plan';
import type { ReviewDecision, ReviewQuestion } from '../../domain/break-glass-review';
import { AtbError, isAtbError } from '../../domain/error';
import type { IdentityAnswer, IdentityQuestion } from '../../domain/identity-mapping';
import type { DeputiesQuestion, PolicyDecision, PolicyInput, Principal } from '../../domain/policy';
import type { PolicyChange, PolicyEngine, PolicyGate } from '../../domain/ports';
import type { RedemptionDecision, RedemptionInput } from '../../domain/redemption';
import type { Contact } from '../../domain/contacts';
import type { ConsultationDecision, ConsultationInput } from '../../domain/consultation';
import type { IncidentDecision, IncidentInput } from '../../domain/incident';
import type { WatchPlan } from '../../domain/incident-watch';
import type { SignOffDecision, SignOffInput } from '../../domain/proposal';
import type { StopDecision, StopInput } from '../../domain/stop';
import { openBundle } from './bundle';
import type { PolicyRecorder } from './policy-recorder';
import { PolicyListeners } from './policy-listeners';
import { WasmPolicy } from './wasm-policy';

export interface BundleFiles {
  readonly bundleFile: string;
  /** PEM: whoever holds its private half decides what policy is. */
  readonly publicKeyFile: string;
  /** The net under the file watch, which network file systems and mounted secrets do not always serve. */
  readonly pollSeconds: number;
  /** What is asked is written there as well. */
  readonly recorder?: PolicyRecorder | undefined;
  /** Says which good bundle may decide; without it every one may. */
  readonly gate?: PolicyGate | undefined;
}

/**
 * The policy from a signed bundle, evaluated in the process, and taken anew when the file changes. A bundle that is
 * not good is refused, and the last good one stays: a policy change may fail, but never open or stop anything.
 */
export class BundlePolicy implements PolicyEngine {
  private readonly listeners = new PolicyListeners();
  private watcher: FSWatcher | undefined;
  private poll: NodeJS.Timeout | undefined;
  private refusal = '';
  private readonly taken = new Set<string>();
  private looking: Promise<void> = Promise.resolve();

  private constructor(
    private readonly files: BundleFiles,
    private readonly publicKeyPem: string,
    private current: WasmPolicy,
    private bytes: Uint8Array,
    /** Of the bytes that were looked at last, good or not: what does not change is told once. */
    private seen: string,
  ) {
    this.taken.add(current.revision);
  }

  /** Throws `configuration_invalid` where the first bundle is not good: there is no start without policy. */
  static async open(files: BundleFiles): Promise<BundlePolicy> {
    try {
      // Read once: who can change the key's file later must not thereby change what policy is.
      const publicKeyPem = await readFile(files.publicKeyFile, 'utf8');
      const bytes = await readFile(files.bundleFile);
      const policy = await loaded(bytes, publicKeyPem, files, null);
      const engine = new BundlePolicy(files, publicKeyPem, policy, bytes, digest(bytes));
      engine.watch();
      return engine;
    } catch (cause) {
      const why = isAtbError(cause) ? cause.message : 'it, or its public key, cannot be read';
      throw new AtbError('configuration_invalid', `no policy from ${files.bundleFile}: ${why}`, { cause });
    }
  }

  get revision(): string {
    return this.current.revision;
  }

  /** The signed bundle that decides. */
  get bundle(): Uint8Array {
    return this.bytes;
  }

  /** Whether a bundle of this revision decides, or did. */
  hasTaken(revision: string): boolean {
    return this.taken.has(revision);
  }

  snapshot(): PolicyEngine {
    return this.current;
  }

  onChange(listener: (change: PolicyChange) => void): () => void {
    return this.listeners.add(listener);
  }

  decide(input: PolicyInput): Promise<PolicyDecision> {
    return this.current.decide(input);
  }

  principal(id: string): Promise<Principal> {
    return this.current.principal(id);
  }

  deputies(question: DeputiesQuestion): Promise<readonly string[]> {
    return this.current.deputies(question);
  }

  identity(question: IdentityQuestion): Promise<IdentityAnswer> {
    return this.current.identity(question);
  }

  redemption(input: RedemptionInput): Promise<RedemptionDecision> {
    return this.current.redemption(input);
  }

  stop(input: StopInput): Promise<StopDecision> {
    return this.current.stop(input);
  }

  signOff(input: SignOffInput): Promise<SignOffDecision> {
    return this.current.signOff(input);
  }

  digest(): Promise<DigestPlan> {
    return this.current.digest();
  }

  contacts(): Promise<ReadonlyMap<string, Contact>> {
    return this.current.contacts();
  }

  review(question: ReviewQuestion): Promise<ReviewDecision> {
    return this.current.review(question);
  }

  incidentWatch(): Promise<WatchPlan> {
    return this.current.incidentWatch();
  }

  incident(input: IncidentInput): Promise<IncidentDecision> {
    return this.current.incident(input);
  }

  consultation(input: ConsultationInput): Promise<ConsultationDecision> {
    return this.current.consultation(input);
  }

  changePlan(): Promise<ChangePlan> {
    return this.current.changePlan();
  }

  /** Stops watching; what was loaded goes on deciding. */
  async close(): Promise<void> {
    this.watcher?.close();
    clearInterval(this.poll);
    await this.looking;
    await this.files.recorder?.close();
  }

  private watch(): void {
    const { bundleFile, pollSeconds } = this.files;
    const look = () => {
      this.looking = this.looking.then(() => this.look());
    };
    // The folder: a file that is replaced by another under its name is no longer the one that was watched.
    this.watcher = watch(dirname(bundleFile), (_, name) => {
      // A mounted secret changes by a link beside it.
      if (name === null || name === basename(bundleFile) || name.startsWith('..')) look();
    });
    this.watcher.on('error', () => this.watcher?.close());
    this.poll = setInterval(look, pollSeconds * 1000);
    this.watcher.unref();
    this.poll.unref();
  }

  private async look(): Promise<void> {
    const previous = this.current.revision;
    try {
      const bytes = await readFile(this.files.bundleFile);
      const seen = digest(bytes);
      if (seen === this.seen) return;
      this.seen = seen;
      const policy = await loaded(bytes, this.publicKeyPem, this.files, this.current);
      if (policy.revision === previous) return;
      this.refusal = '';
      this.current = policy;
      this.bytes = bytes;
      this.taken.add(policy.revision);
      this.listeners.tell({ change: 'loaded', revision: policy.revision, previous });
    } catch (error) {
      const code = isAtbError(error) ? error.code : undefined;
      const reason = isAtbError(error) ? error.message : 'the policy bundle cannot be read';
      // What is not approved may be later, and what is out of reach will be back: it is looked at again, and told once.
      const refusal = code === 'policy_bundle_refused' ? '' : reason;
      if (refusal !== '') this.seen = '';
      if (refusal !== '' && refusal === this.refusal) return;
      this.refusal = refusal;
      const told = code === 'policy_not_approved' ? code : 'policy_bundle_refused';
      this.listeners.tell({ change: 'refused', revision: previous, code: told, reason });
    }
  }
}

/** Evaluates once before anybody depends on it: what loads may still not answer. */
async function loaded(
  bytes: Uint8Array,
  publicKeyPem: string,
  { recorder, gate }: Pick<BundleFiles, 'recorder' | 'gate'>,
  judge: PolicyEngine | null,
): Promise<WasmPolicy> {
  const bundle = await openBundle(bytes, publicKeyPem);
  const policy = await WasmPolicy.of(bundle, recorder);
  try {
    await policy.principal('');
  } catch (cause) {
    throw new AtbError('policy_bundle_refused', 'the policy bundle does not answer', { cause });
  }
  const { revision, digest } = bundle;
  if (revision !== judge?.revision) await gate?.admit({ revision, digest }, judge ?? policy);
  return policy;
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
