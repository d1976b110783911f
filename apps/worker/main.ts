import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { readCodecKeys } from '../../adapters/temporal/codec-keys';
import { collectDefaultMetrics } from 'prom-client';
import { startAdminServer } from '../admin-server';
import { reportPolicy } from '../policy';
import { runProcess } from '../process';
import { shutdownAsked } from '../shutdown';
import { installTemporalSdk } from '../temporal-sdk';
import { openTracing } from '../tracing';
import { workerConfiguration } from './configuration';
import { openWorkerPorts } from './ports';
import { TemporalConnection } from './temporal-connection';
import { TemporalWorker } from './temporal-worker';
import { WorkerModule } from './worker.module';

/** The worker as a process of its own (the safe shape). Ends by SIGTERM or SIGINT, after its steps in flight. */
async function main(): Promise<void> {
  const configuration = workerConfiguration(process.env);
  const tracing = await openTracing('worker');
  installTemporalSdk({ level: 'WARN', metricsAddress: configuration.sdkMetrics?.address });
  const connection = await TemporalConnection.open(configuration.temporal);
  const ports = await openWorkerPorts(configuration);
  const application = await NestFactory.createApplicationContext(
    WorkerModule.register({
      connection,
      namespace: configuration.temporal.namespace,
      codecKeys: await readCodecKeys(configuration.codecKeysFile),
      ports,
      metrics: ports.metrics,
      maxConcurrentWorkflowTasks: configuration.maxConcurrentWorkflowTasks,
      maxCachedWorkflows: configuration.maxCachedWorkflows,
      onFatal: () => {
        process.exitCode = 1;
        process.kill(process.pid, 'SIGTERM');
      },
    }),
    { logger: ['error', 'warn', 'log'], abortOnError: false },
  );
  const worker = application.get(TemporalWorker);
  const metrics = ports.metrics.registry;
  collectDefaultMetrics({ register: metrics });
  reportPolicy(ports.policy, metrics);
  const { host, port } = configuration.admin;
  const isReady = async () => {
    await ports.ledger.ping();
    return worker.isRunning;
  };
  const admin = await startAdminServer(host, port, isReady, metrics);
  await shutdownAsked();
  await admin.close();
  await application.close();
  await connection.close();
  await ports.close();
  await tracing.close();
}

runProcess('worker', main);
