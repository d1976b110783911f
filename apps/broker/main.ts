import 'reflect-metadata';
import { runProcess } from '../process';
import { shutdownAsked } from '../shutdown';
import { startBroker } from './broker';
import { brokerConfiguration } from './configuration';

/** The broker as a process of its own: public keys, the marks of used mandates, connector credentials; no signing key. */
async function main(): Promise<void> {
  const broker = await startBroker(brokerConfiguration(process.env), {
    environment: process.env,
    onDefect: (error) => {
      process.stderr.write(`broker: ${error instanceof Error ? String(error.stack) : String(error)}\n`);
    },
  });
  process.stdout.write(`the broker listens at ${broker.url}\n`);
  await shutdownAsked();
  await broker.close();
}

runProcess('broker', main);
