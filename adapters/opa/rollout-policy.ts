import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { canonicalJson } from '../../domain/canonical-json';
import { isAtbError } from '../../domain/error';
import type { PolicyDecision, PolicyInput } from '../../domain/policy';
import type { PolicyEngine, PolicyGate } from '../../domain/ports';
import type { RedemptionDecision, RedemptionInput } from '../../domain/redemption';
import { BundlePolicy } from './bundle-policy';
import type { BundleFiles } from './bundle-policy';

/** A question that both policies were asked. */
export interface Comparison {
  readonly question: 'decide' | 'redemption';
  readonly outcome: 'same' | 'different' | 'failed';
  readonly action: string;
  /** What the policy said that decided, and what the other would have. */
  readonly decided: PolicyDecision | RedemptionDecision;
  readonly other: PolicyDecision | RedemptionDecision | null;
}

export interface RolloutOptions extends BundleFiles {
  /** The share that was signed off for a revision, in percent. Throws where it cannot be known now. */
  readonly share: (revision: string, judge: PolicyEngine) => Promise<number>;
  readonly onComparison: (comparison: Comparison) => void;
  /** Told of a candidate that is none (null: there is none any more), and of the share that it decides. */
  readonly onCandidate: (revision: string | null, percent: number, reason?: string) => void;
}

type Decider = PolicyEngine & { close?(): void | Promise<void> };

/**
 * A policy with a candidate beside it: each decision on a request or on the use of its mandate is asked of both, differences
 * are told, and a share of requests is decided by the candidate. Which ones follows from their ids, so every step of a
 * request asks the same policy, in every process. Where no candidate is there, is approved, or has a share, the first
 * decides alone.
 */
export class RolloutPolicy {
  private candidate: BundlePolicy | undefined;
  private percent = 0;
  private told = '';
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> = Promise.resolve();

  private constructor(
    private readonly stable: Decider,
    private readonly options: RolloutOptions,
  ) {}

  /** The engine that decides by both. */
  static async over(stable: Decider, options: RolloutOptions): Promise<Decider & { close(): Promise<void> }> {
    const rollout = new RolloutPolicy(stable, options);
    await rollout.look();
    rollout.timer = setInterval(() => {
      rollout.looking = rollout.looking.then(() => rollout.look());
    }, options.pollSeconds * 1000).unref();
    return new Proxy(stable, {
      get(target, name) {
        if (name === 'snapshot') return (requestId?: string) => rollout.snapshot(requestId);
        if (name === 'close') return () => rollout.close();
        const member: unknown = Reflect.get(target, name);
        return typeof member === 'function' ? (member.bind(target) as unknown) : member;
      },
    }) as Decider & { close(): Promise<void> };
  }

  private snapshot(requestId: string | undefined): PolicyEngine {
    const stable = this.stable.snapshot();
    const candidate = this.candidate?.snapshot();
    if (!candidate || requestId === undefined || candidate.revision === stable.revision) return stable;
    const isCanary = placeOf(requestId) < this.percent;
    const [decider, other] = isCanary ? [candidate, stable] : [stable, candidate];
    return this.comparing(decider, other);
  }

  /** The decider, which asks the other one the same later: it is never waited for, and its failure decides nothing. */
  private comparing(decider: PolicyEngine, other: PolicyEngine): PolicyEngine {
    const { onComparison } = this.options;
    const both = async <Answer extends PolicyDecision | RedemptionDecision>(
      question: Comparison['question'],
      action: string,
      ask: (policy: PolicyEngine) => Promise<Answer>,
    ): Promise<Answer> => {
      const decided = await ask(decider);
      setImmediate(() => {
        ask(other).then(
          (said) => {
            const outcome = comparable(decided) === comparable(said) ? 'same' : 'different';
            onComparison({ question, outcome, action, decided, other: said });
          },
          () => {
            onComparison({ question, outcome: 'failed', action, decided, other: null });
          },
        );
      });
      return decided;
    };
    return new Proxy(decider, {
      get(target, name, pinned) {
        const member: unknown = Reflect.get(target, name);
        if (name === 'snapshot') return () => pinned as unknown;
        if (name === 'decide') {
          return (input: PolicyInput) => both(name, input.action.name, (policy) => policy.decide(input));
        }
        if (name === 'redemption') {
          return (input: RedemptionInput) =>
            both(name, input.question.action.name, (policy) => policy.redemption(input));
        }
        return typeof member === 'function' ? (member.bind(target) as unknown) : member;
      },
    });
  }

  private async look(): Promise<void> {
    const { bundleFile, share } = this.options;
    try {
      if (!existsSync(bundleFile)) {
        await this.candidate?.close();
        this.candidate = undefined;
        this.become(null, 0);
        return;
      }
      this.candidate ??= await BundlePolicy.open({ ...this.options, gate: this.gateOf(this.options.gate) });
      const { revision } = this.candidate;
      this.become(revision, await share(revision, this.stable.snapshot()));
    } catch (error) {
      // What cannot be known now stays as it was; what is not good is no candidate.
      const reason = isAtbError(error) ? error.message : 'the candidate cannot be read';
      this.become(this.candidate?.revision ?? null, this.percent, reason);
    }
  }

  /** A candidate is judged by the policy that decides, from the first on. */
  private gateOf(gate: PolicyGate | undefined): PolicyGate | undefined {
    return gate && { admit: (delivered) => gate.admit(delivered, this.stable.snapshot()) };
  }

  private become(revision: string | null, percent: number, reason?: string): void {
    this.percent = percent;
    const state = `${revision ?? ''} ${percent} ${reason ?? ''}`;
    if (state !== this.told) this.options.onCandidate(revision, percent, reason);
    this.told = state;
  }

  private async close(): Promise<void> {
    clearInterval(this.timer);
    await this.looking;
    await this.candidate?.close();
    await this.stable.close?.();
  }
}

/** From 0 to 99, for good: the same id has the same place in every process. */
function placeOf(requestId: string): number {
  return createHash('sha256').update(requestId).digest().readUInt32BE(0) % 100;
}

function comparable(decision: PolicyDecision | RedemptionDecision): string {
  return canonicalJson({ ...JSON.parse(JSON.stringify(decision)), policyRevision: '' });
}
