import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packBundle, signBundle } from '../adapters/opa/bundle';
import { BundlePolicy } from '../adapters/opa/bundle-policy';
import { policyCases } from '../adapters/opa/policy-cases';
import type { PolicyCase } from '../adapters/opa/policy-cases';
import { readPolicySource } from '../adapters/opa/policy-source';
import { SidecarPolicy } from '../adapters/opa/sidecar-policy';
import { startSidecar } from '../adapters/opa/sidecar-server';
import { obtainExecutable } from '../adapters/process/executable';
import { projectRoot } from '../adapters/process/project-root';
import type { JsonObject } from '../domain/json';
import type { PolicyInput } from '../domain/policy';
import type { PolicyEngine } from '../domain/ports';
import { joined, measure, percentile, perSecond } from './measure';
import type { Series } from './measure';
import { say } from './report';
import type { Row } from './report';
import { freePort } from './free-port';

/** The same policy in two engines, over the whole catalogue. */
export const POLICY = ['policy-wasm', 'policy-sidecar'] as const;
type Name = (typeof POLICY)[number];

// In turn, so that what else the machine does falls on both alike.
const ROUNDS = 5;
const SECONDS_A_ROUND = 2;
const WARM_UP_SECONDS = 2;
const LOADS = 5;

export async function benchPolicy(only: readonly string[]): Promise<Row[]> {
  const folder = await mkdtemp(join(tmpdir(), 'atb-bench-policy-'));
  const undo: (() => void | Promise<void>)[] = [() => rm(folder, { recursive: true, force: true })];
  try {
    const { files, data } = await delivered(folder);
    const executable = await obtainExecutable('opa', { onProgress: say });
    const token = randomBytes(24).toString('hex');
    const port = await freePort();
    const bundle = { file: files.bundleFile };
    const server = await startSidecar({ ...files, bundle, executable, keyId: 'policy', token, port, folder });
    undo.push(() => server.stop());

    const loads: number[] = [];
    for (let load = 0; load < LOADS; load++) {
      const before = performance.now();
      const policy = await BundlePolicy.open(files);
      loads.push(performance.now() - before);
      await policy.close();
    }
    const wasm = await BundlePolicy.open(files);
    undo.push(() => wasm.close());
    const sidecar = await SidecarPolicy.connect({
      url: `http://127.0.0.1:${port}`,
      ...{ token, timeoutMs: 5_000, pollSeconds: 3_600, mayDecide: () => true },
    });
    undo.push(() => {
      sidecar.close();
    });

    const questions = policyCases(data).map(questionOf);
    const rounds: Record<Name, Series[]> = { 'policy-wasm': [], 'policy-sidecar': [] };
    const engines: Record<Name, PolicyEngine> = { 'policy-wasm': wasm, 'policy-sidecar': sidecar };
    const run = (name: Name, seconds: number) => measure(1, seconds, asking(engines[name], questions));
    for (const name of POLICY) await run(name, WARM_UP_SECONDS);
    for (let round = 1; round <= ROUNDS; round++) {
      for (const name of POLICY) {
        say(`${name}, round ${round} of ${ROUNDS}`);
        rounds[name].push(await run(name, SECONDS_A_ROUND));
      }
    }
    const roundTrip = percentile(joined(rounds['policy-sidecar']).latencies, 50);
    return POLICY.filter((name) => only.includes(name)).map((name) => {
      const series = joined(rounds[name]);
      const p99 = percentile(series.latencies, 99);
      return {
        name,
        clients: 1,
        p50_ms: round4(percentile(series.latencies, 50)),
        p95_ms: round4(percentile(series.latencies, 95)),
        p99_ms: round4(p99),
        per_second: Math.round(perSecond(series)),
        against: 'policy-sidecar',
        ...(name === 'policy-wasm' && {
          ratio_p99_to_p50: round4(p99 / roundTrip),
          note: `bundle loaded in ${Math.round(Math.max(...loads))} ms at most; ${questions.length} cases`,
        }),
      };
    });
  } finally {
    for (const step of undo.reverse()) await step();
  }
}

/** Each call the next case, so that every action comes as often as every other. */
function asking(engine: PolicyEngine, questions: readonly PolicyInput[]): () => Promise<void> {
  let next = 0;
  return async () => {
    const question = questions[next++ % questions.length];
    if (question) await engine.decide(question);
  };
}

function questionOf({ input }: PolicyCase): PolicyInput {
  const context = input.context as JsonObject;
  const { ticket_fact, requires_dual_control, ttl_seconds, verdicts, climbed, ...same } = context;
  return {
    subject: input.subject,
    action: input.action,
    context: {
      ...same,
      ticketFact: ticket_fact,
      requiresDualControl: requires_dual_control,
      ttlSeconds: ttl_seconds,
      verdicts: (verdicts as readonly JsonObject[]).map(({ issued_at, received_at, ...verdict }) => ({
        ...verdict,
        ...{ issuedAt: issued_at, receivedAt: received_at },
      })),
      climbed: (climbed as readonly JsonObject[]).map(({ rung, waited_seconds }) => ({
        ...{ rung, waitedSeconds: waited_seconds },
      })),
    },
  } as unknown as PolicyInput;
}

async function delivered(folder: string) {
  const built = join(projectRoot(), 'policy');
  const source = await readPolicySource(join(built, 'dist'), built);
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const bundleFile = join(folder, 'bundle.tar.gz');
  const publicKeyFile = join(folder, 'public.pem');
  await writeFile(publicKeyFile, publicKey.export({ format: 'pem', type: 'spki' }));
  await writeFile(bundleFile, await signBundle(packBundle(source).bytes, { privateKey, keyId: 'policy' }));
  return { files: { bundleFile, publicKeyFile, pollSeconds: 3_600 }, data: source.data };
}

function round4(value: number): number {
  return Math.round(value * 10_000) / 10_000;
}
