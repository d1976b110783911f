import { runProcess } from '../process';
import { shutdownAsked } from '../shutdown';
import { openTracing } from '../tracing';
import { registrationConfiguration } from './configuration';
import { startRegistration } from './registration';

/** The registration as a process of its own: it holds the authority for people's SVIDs, and no other power. */
async function main(): Promise<void> {
  const tracing = await openTracing('registration');
  const registration = await startRegistration(registrationConfiguration(process.env));
  process.stdout.write(`registration listens at ${registration.url}\n`);
  await shutdownAsked();
  await registration.close();
  await tracing.close();
}

runProcess('registration', main);
