import { readFile } from 'node:fs/promises';
import { Context } from '@temporalio/activity';
import { Worker } from '@temporalio/worker';
import { Registry } from 'prom-client';
import { createChangeExecution } from '../../activities';
import { readOperations } from '../../adapters/operations/definitions';
import { ConfiguredOperations } from '../../adapters/operations/operations';
import { PostgresChangeHolds } from '../../adapters/postgres/change-holds';
import { PostgresChangeTargets } from '../../adapters/postgres/change-targets';
import { PostgresChanges } from '../../adapters/postgres/changes';
import { PostgresProbes } from '../../adapters/postgres/probes';
import { PostgresProposals } from '../../adapters/postgres/proposals';
import { requirePrepared } from '../../adapters/postgres/schema';
import { readCodecKeys } from '../../adapters/temporal/codec-keys';
import { sealedDataConverter } from '../../adapters/temporal/data-converter';
import { activityTraces } from '../../adapters/temporal/traces';
import { portSpans } from '../../adapters/tracing/port-spans';
import type { Operations } from '../../domain/ports';
import { OPERATIONS_TASK_QUEUE } from '../../workflows/contract';
import { openTrust } from '../identity';
import { openPolicy, reportPolicy } from '../policy';
import { recordedSignOffs, signedOffPolicies } from '../policy-gate';
import { ProcessRecord } from '../process-record';
import { Polling } from '../worker/polling';
import { TemporalConnection } from '../worker/temporal-connection';
import type { OperationsConfiguration } from './configuration';

const HEARTBEAT_MS = 2_000;
// A command that is under way is given some time to end by itself; then it is killed, and the step done again.
const SHUTDOWN_GRACE = '10 seconds';
const STEPS_AT_ONCE = 4;

/** What carries changes out, and its metrics. */
export interface OperationsWorker {
  readonly metrics: Registry;
  readonly isRunning: () => boolean;
  stop(): Promise<void>;
}

/** Starts it. Throws where something is missing: there is no start with less. */
export async function startOperations(
  configuration: OperationsConfiguration,
  onFatal: (error: unknown) => void,
): Promise<OperationsWorker> {
  const metrics = new Registry();
  const definitions = await readOperations(configuration.operationsFile);
  const databaseUrl = (await readFile(configuration.databaseUrlFile, 'utf8')).trim();
  await requirePrepared(databaseUrl);
  const auditKeys = await readCodecKeys(configuration.auditKeysFile);
  const codecKeys = await readCodecKeys(configuration.codecKeysFile);
  const trust = await openTrust(configuration.trust);
  const proposals = new PostgresProposals(databaseUrl, auditKeys);
  const probes = new PostgresProbes(databaseUrl, auditKeys);
  const changes = new PostgresChanges(databaseUrl, auditKeys);
  const holds = new PostgresChangeHolds(databaseUrl, auditKeys);
  const judging = { ...recordedSignOffs(trust, proposals), probes };
  const policy = await openPolicy(configuration.policy, metrics, signedOffPolicies(judging));
  reportPolicy(policy, metrics);
  const { temporal, ...settings } = configuration;
  const targets = new PostgresChangeTargets(databaseUrl);
  const record = new ProcessRecord(policy, changes, {
    ...{ process: 'operations', actor: null },
    configuration: { ...settings, operations: definitions },
  });
  const execution = createChangeExecution({
    ...judging,
    ...{ policy, changes, holds, targets },
    operations: portSpans<Operations>('operations', new ConfiguredOperations(definitions), ['run', 'check']),
    interrupted: () => Context.current().cancellationSignal,
  });
  const connection = await TemporalConnection.open(temporal);
  const polling = new Polling(
    connection,
    (current) =>
      Worker.create({
        connection: current,
        namespace: temporal.namespace,
        taskQueue: OPERATIONS_TASK_QUEUE,
        activities: beating(execution),
        dataConverter: sealedDataConverter(codecKeys, 'mark'),
        interceptors: { activity: [activityTraces] },
        maxConcurrentActivityTaskExecutions: STEPS_AT_ONCE,
        shutdownGraceTime: SHUTDOWN_GRACE,
      }),
    onFatal,
  );
  await polling.start();
  return {
    metrics,
    isRunning: () => polling.isRunning,
    async stop() {
      await polling.stop();
      await connection.close();
      await record.close();
      trust.close();
      await policy.close();
      await probes.end();
      await proposals.end();
      await changes.end();
      await holds.end();
      await targets.end();
    },
  };
}

/** The same steps, which say all the while that they are alive: whoever dies is noticed within seconds. */
function beating<Steps extends object>(steps: Steps): Steps {
  return Object.fromEntries(
    Object.entries(steps).map(([name, step]) => [
      name,
      async (input: unknown): Promise<unknown> => {
        const context = Context.current();
        const beat = setInterval(() => {
          context.heartbeat();
        }, HEARTBEAT_MS);
        try {
          return await (step as (input: unknown) => Promise<unknown>)(input);
        } finally {
          clearInterval(beat);
        }
      },
    ]),
  ) as Steps;
}
