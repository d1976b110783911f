import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { DefaultLogger, NativeConnection, Runtime } from '@temporalio/worker';
import { readCodecKeys } from '../../adapters/temporal/codec-keys';
import { isAtbError } from '../../domain/error';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { startAdminServer } from '../admin-server';
import { reportPolicy } from '../policy';
import { shutdownAsked } from '../shutdown';
import { connectionOptions } from '../temporal';
import { workerConfiguration } from './configuration';
import { openWorkerPorts } from './ports';
import { TemporalWorker } from './temporal-worker';
import { WorkerModule } from './worker.module';

/** The worker as a process of its own (the safe shape). Ends by SIGTERM or SIGINT, after its steps in flight. */
async function main(): Promise<void> {
  const configuration = workerConfiguration(process.env);
  Runtime.install({ logger: new DefaultLogger('WARN'), shutdownSignals: [] });
  const ports = await openWorkerPorts(configuration);
  const connection = await NativeConnection.connect(await connectionOptions(configuration.temporal));
  const application = await NestFactory.createApplicationContext(
    WorkerModule.register({
      connection,
      namespace: configuration.temporal.namespace,
      codecKeys: await readCodecKeys(configuration.codecKeysFile),
      ports,
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
  const metrics = new Registry();
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
}

main().catch((error: unknown) => {
  process.stderr.write(
    isAtbError(error) ? `atb worker: ${error.message}\n` : `${String((error as Error).stack)}\n`,
  );
  process.exitCode = 1;
});
