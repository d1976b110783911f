import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import { Counter, Gauge, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';
import { handBundleOver } from '../adapters/opa/bundle-handoff';
import { BundlePolicy } from '../adapters/opa/bundle-policy';
import { spanned, SpanKind } from '../adapters/tracing/span';
import { PolicyRecorder } from '../adapters/opa/policy-recorder';
import { SidecarPolicy } from '../adapters/opa/sidecar-policy';
import { isAtbError } from '../domain/error';
import type { PolicyChange, PolicyEngine, PolicyGate } from '../domain/ports';
import type { Environment } from './environment';

/** Where policy comes from. Without a signed bundle, or a sidecar that demands one, nothing starts (attack 2). */
export interface PolicyConfiguration {
  readonly bundleFile: string;
  readonly publicKeyFile: string;
  /** Where what is asked is recorded, to try a changed policy on it; undefined where nothing is. */
  readonly recordFile: string | undefined;
  /** Beside the first, to be compared with it, and to decide a share; of worker and broker. */
  readonly candidateFile: string | undefined;
  /** Where what the two decide otherwise is listed. */
  readonly shadowFile: string | undefined;
  readonly pollSeconds: number;
  /** Who evaluates it in place of the process. */
  readonly sidecar: SidecarConfiguration | undefined;
}

interface SidecarConfiguration {
  readonly url: string;
  readonly tokenFile: string;
  readonly timeoutMs: number;
  /** Where it is given its bundle, on loopback. */
  readonly bundlePort: number;
}

// OPA asks for its bundle every second or two, and may have to be started yet.
const SIDECAR_STARTS_WITHIN_MS = 30_000;
const SIDECAR_POLL_SECONDS = 1;

// The database, which says what was approved, may be busy coming up beside the process.
const DATABASE_ANSWERS_WITHIN_MS = 30_000;
const ASKED_AGAIN_MS = 500;

/** A policy that can be let go of. */
export type OpenPolicy = PolicyEngine & { close(): void | Promise<void> };

export function policyConfiguration(environment: Environment): PolicyConfiguration {
  const isAsked = environment.oneOf('ATB_POLICY', ['wasm', 'opa'], 'wasm') === 'opa';
  return {
    bundleFile: environment.required('ATB_POLICY_BUNDLE_FILE'),
    publicKeyFile: environment.required('ATB_POLICY_PUBLIC_KEY_FILE'),
    recordFile: environment.optional('ATB_POLICY_RECORD_FILE'),
    candidateFile: environment.optional('ATB_POLICY_CANDIDATE_FILE'),
    shadowFile: environment.optional('ATB_POLICY_SHADOW_FILE'),
    pollSeconds: environment.integer('ATB_POLICY_POLL_SECONDS', 10, { min: 1, max: 3_600 }),
    sidecar: isAsked ? sidecarConfiguration(environment) : undefined,
  };
}

function sidecarConfiguration(environment: Environment): SidecarConfiguration {
  return {
    url: environment.required('ATB_OPA_URL'),
    tokenFile: environment.required('ATB_OPA_TOKEN_FILE'),
    timeoutMs: environment.integer('ATB_OPA_TIMEOUT_MS', 500, { min: 10, max: 5_000 }),
    bundlePort: environment.port('ATB_OPA_BUNDLE_PORT', 8182),
  };
}

/** Throws `configuration_invalid` or `policy_unavailable` where there is no policy to begin with. */
export async function openPolicy(
  configuration: PolicyConfiguration,
  registry: Registry,
  /** Which bundles may decide. */
  gate: PolicyGate,
): Promise<OpenPolicy> {
  return timedPolicy(await engineOf(configuration, patientAtStart(gate)), registry);
}

/** Asks a gate that is out of reach again, while the process starts: later the policy that decides stays. */
function patientAtStart(gate: PolicyGate): PolicyGate {
  const end = Date.now() + DATABASE_ANSWERS_WITHIN_MS;
  return {
    async admit(delivered, judge) {
      for (;;) {
        try {
          await gate.admit(delivered, judge);
          return;
        } catch (error) {
          const isAway = isAtbError(error) && error.code === 'audit_unavailable';
          if (!isAway || Date.now() > end) throw error;
        }
        await sleep(ASKED_AGAIN_MS);
      }
    },
  };
}

async function engineOf(configuration: PolicyConfiguration, gate: PolicyGate): Promise<OpenPolicy> {
  const { sidecar, recordFile } = configuration;
  if (sidecar !== undefined) return besideOpa(await BundlePolicy.open({ ...configuration, gate }), sidecar);
  const log = new Logger('Policy');
  const recorder =
    recordFile === undefined
      ? undefined
      : new PolicyRecorder(recordFile, (error) => {
          log.error(`what policy is asked cannot be recorded: ${error.message}`);
        });
  return BundlePolicy.open({ ...configuration, recorder, gate });
}

/**
 * The policy in an OPA sidecar, which is given the bundles that this process took, and no other: each was approved, and the
 * one before decides until then. What else the sidecar may answer by counts for nothing.
 */
async function besideOpa(
  bundles: BundlePolicy,
  { url, tokenFile, timeoutMs, bundlePort }: SidecarConfiguration,
): Promise<OpenPolicy> {
  const undo: (() => void | Promise<void>)[] = [() => bundles.close()];
  const close = async () => {
    for (const step of undo.reverse()) await step();
  };
  try {
    const token = (await readFile(tokenFile, 'utf8')).trim();
    const handoff = await handBundleOver({ port: bundlePort, token, bundle: () => bundles.bundle });
    undo.push(() => handoff.close());
    const opa = await SidecarPolicy.connect({
      ...{ url, token, timeoutMs, pollSeconds: SIDECAR_POLL_SECONDS },
      mayDecide: (revision) => bundles.hasTaken(revision),
      startsWithinMs: SIDECAR_STARTS_WITHIN_MS,
    });
    const closeOpa = opa.close.bind(opa);
    undo.push(closeOpa);
    bundles.onChange((change) => {
      // What was taken decides when OPA has it, which tells so itself.
      if (change.change === 'refused') opa.tell(change);
    });
    return Object.assign(opa, { close });
  } catch (error) {
    await close();
    throw error;
  }
}

/** The same policy, with the time that each question takes measured. */
function timedPolicy(policy: OpenPolicy, registry: Registry): OpenPolicy {
  registry.removeSingleMetric('atb_policy_evaluation_seconds');
  const histogram = new Histogram({
    name: 'atb_policy_evaluation_seconds',
    help: 'Time that policy took for an answer, by question',
    labelNames: ['question'],
    buckets: [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 0.5, 1],
    registers: [registry],
  });
  // Whatever a policy can be asked, by its name.
  const measured = <Engine extends PolicyEngine>(engine: Engine): Engine =>
    new Proxy(engine, {
      get(target, name: keyof OpenPolicy) {
        const member: unknown = Reflect.get(target, name);
        if (name === 'snapshot') return (requestId?: string) => measured(target.snapshot(requestId));
        if (typeof member !== 'function') return member;
        if (name === 'onChange' || name === 'close') return member.bind(target) as unknown;
        return async (...asked: readonly unknown[]): Promise<unknown> => {
          const end = histogram.startTimer({ question: name });
          try {
            return await spanned(
              `policy.${name}`,
              SpanKind.INTERNAL,
              {},
              () => Reflect.apply(member, target, asked) as Promise<unknown>,
            );
          } finally {
            end();
          }
        };
      },
    });
  return measured(policy);
}

/** Says in log and metrics which policy decides, and that another one was loaded or refused. */
export function reportPolicy(policy: PolicyEngine, registry: Registry): void {
  const log = new Logger('Policy');
  // A stack that is started again in one process says it anew.
  for (const name of ['atb_policy_revision', 'atb_policy_changes_total']) registry.removeSingleMetric(name);
  const revisions = new Gauge({
    name: 'atb_policy_revision',
    help: '1 for the revision that decides',
    labelNames: ['revision'],
    registers: [registry],
  });
  const changes = new Counter({
    name: 'atb_policy_changes_total',
    help: 'Policies that were delivered while running, loaded or refused',
    labelNames: ['change'],
    registers: [registry],
  });
  const show = (revision: string) => {
    revisions.reset();
    revisions.set({ revision }, 1);
  };
  for (const change of ['loaded', 'refused']) changes.inc({ change }, 0);
  show(policy.revision);
  log.log(`policy ${policy.revision} decides`);
  policy.onChange((change: PolicyChange) => {
    changes.inc({ change: change.change });
    show(change.revision);
    if (change.change === 'loaded') log.log(`policy ${change.revision} decides, after ${change.previous}`);
    else log.error(`${change.reason}; policy ${change.revision} stays`);
  });
}
