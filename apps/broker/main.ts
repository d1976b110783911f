import 'reflect-metadata';
import { runProcess } from '../process';
import { shutdownAsked } from '../shutdown';
import { openTracing } from '../tracing';
import { startBroker } from './broker';
import { brokerConfiguration } from './configuration';

/** The broker as a process of its own: public keys, the marks of used mandates, connector credentials; no signing key. */
async function main(): Promise<void> {
  const tracing = await openTracing('broker');
  const broker = await startBroker(brokerConfiguration(process.env), {
    environment: process.env,
    onConnector: (connector, reason) => {
      const state = reason === null ? 'in service, as it was signed off' : `not in service: ${reason}`;
      process.stdout.write(`connector ${connector} is ${state}\n`);
    },
    onDefect: (error) => {
      process.stderr.write(`broker: ${error instanceof Error ? String(error.stack) : String(error)}\n`);
    },
  });
  process.stdout.write(`the broker listens at ${broker.url}\n`);
  await shutdownAsked();
  await broker.close();
  await tracing.close();
}

runProcess('broker', main);
