import { collectDefaultMetrics } from 'prom-client';
import { startAdminServer } from '../admin-server';
import { runProcess } from '../process';
import { shutdownAsked } from '../shutdown';
import { logConfiguration } from './configuration';
import { startLog } from './log';

/** The log as a process of its own: it holds the key of the checkpoints, and no other power. */
async function main(): Promise<void> {
  const configuration = logConfiguration(process.env);
  const log = await startLog(configuration, ({ message }) => {
    process.stderr.write(`log: ${message}; it is tried again\n`);
  });
  collectDefaultMetrics({ register: log.metrics });
  const { host, port } = configuration.admin;
  const admin = await startAdminServer(host, port, () => Promise.resolve(log.isReady()), log.metrics);
  try {
    await Promise.race([shutdownAsked(), log.ended]);
    await log.stop();
    await log.ended;
  } finally {
    await admin.close();
  }
}

runProcess('log', main);
