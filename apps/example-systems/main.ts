import { runProcess } from '../process';
import { shutdownAsked } from '../shutdown';
import { exampleSystemConfiguration } from './configuration';
import { startExampleSystem } from './server';

/** A system of the example company as a process of its own: behind the broker, and reached by nobody else. */
async function main(): Promise<void> {
  const system = await startExampleSystem(exampleSystemConfiguration(process.env));
  process.stdout.write(`the example system listens at ${system.url}\n`);
  await shutdownAsked();
  await system.close();
}

runProcess('example system', main);
