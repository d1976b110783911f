import { collectDefaultMetrics } from 'prom-client';
import { startAdminServer } from '../admin-server';
import { runProcess } from '../process';
import { shutdownAsked } from '../shutdown';
import { installTemporalSdk } from '../temporal-sdk';
import { openTracing } from '../tracing';
import { operationsConfiguration } from './configuration';
import { startOperations } from './operations';

/** What carries changes out, as a process of its own: it holds the way to production, and no signing key. */
async function main(): Promise<void> {
  const configuration = operationsConfiguration(process.env);
  const tracing = await openTracing('operations');
  installTemporalSdk({ level: 'WARN' });
  const operations = await startOperations(configuration, () => {
    process.exitCode = 1;
    process.kill(process.pid, 'SIGTERM');
  });
  collectDefaultMetrics({ register: operations.metrics });
  const { host, port } = configuration.admin;
  const admin = await startAdminServer(
    host,
    port,
    () => Promise.resolve(operations.isRunning()),
    operations.metrics,
  );
  await shutdownAsked();
  await admin.close();
  await operations.stop();
  await tracing.close();
}

runProcess('operations', main);
