import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { metrics } from '../../apps/agentauth/metrics';
import { openAccessLog } from '../../apps/access-log';
import { signedPolicy } from '../../apps/atb/dev/policy';
import { stateFiles } from '../../apps/atb/dev/state';
import { BrokerMetrics } from '../../apps/broker/metrics';
import { EventMetrics } from '../../apps/log/event-metrics';
import * as logMetrics from '../../apps/log/metrics';
import { openPolicy, reportPolicy } from '../../apps/policy';
import { WorkerMetrics } from '../../apps/worker/metrics';

export interface KnownMetric {
  readonly type: string;
  readonly labels: readonly string[];
  readonly processes: readonly string[];
}

/** Every metric that our processes tell, by name, as the code registers it. Node's own are left out. */
export async function knownMetrics(): Promise<ReadonlyMap<string, KnownMetric>> {
  const directory = await mkdtemp(join(tmpdir(), 'atb-metrics-'));
  try {
    const files = await stateFiles(directory);
    await signedPolicy(files, undefined);
    const broker = new BrokerMetrics(new Set(['erp'])).registry;
    const worker = new WorkerMetrics();
    worker.watchPending({ count: () => Promise.resolve([]) });
    worker.watchIncidents({ lagSeconds: () => Promise.resolve(0) });
    worker.watchChanges({ countUnderWay: () => Promise.resolve({ underWay: 0, overdue: 0 }) });
    const log = new Registry();
    new EventMetrics(log);
    for (const register of Object.values(logMetrics))
      (register as (registry: Registry, ...rest: unknown[]) => unknown)(log, () => 0);
    const operations = new Registry();
    for (const registry of [metrics.registry, broker, worker.registry, operations]) {
      const policy = await openPolicy(
        {
          bundleFile: files.policy.bundle,
          publicKeyFile: files.policy.publicKey,
          recordFile: undefined,
          candidateFile: undefined,
          shadowFile: undefined,
          pollSeconds: 3_600,
          sidecar: undefined,
        },
        registry,
        { admit: () => Promise.resolve() },
      );
      reportPolicy(policy, registry);
      await policy.close();
      if (registry === worker.registry || registry === operations) continue;
      const bounds = { stdout: false, folder: undefined, segmentBytes: 1, mostBytes: 2 };
      const accessLog = await openAccessLog({ ...bounds, destinationsFile: undefined }, registry);
      await accessLog.close();
    }
    const known = new Map<string, KnownMetric>();
    const processes = { agentauth: metrics.registry, broker, worker: worker.registry, log, operations };
    for (const [process, registry] of Object.entries(processes)) {
      for (const { name, type } of registry.getMetricsAsArray()) {
        if (!name.startsWith('atb_')) continue;
        const { labelNames } = registry.getSingleMetric(name) as unknown as { labelNames: readonly string[] };
        const before = known.get(name)?.processes ?? [];
        known.set(name, { type: String(type), labels: labelNames, processes: [...before, process] });
      }
    }
    return known;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Those of others that docs/metrics.md says we rely on, by name: the Temporal SDK's and Prometheus' own. */
export async function foreignMetrics(): Promise<ReadonlyMap<string, readonly string[]>> {
  const page = await readFile('docs/metrics.md', 'utf8');
  const [, foreign = ''] = page.split('## Metrics of others');
  return new Map(
    [...foreign.matchAll(/^\| `(\w+)` +\| ([^|]*)\|/gm)].map(([, name = '', labels = '']) => [
      name,
      [...labels.matchAll(/`(\w+)`/g)].map(([, label = '']) => label),
    ]),
  );
}
