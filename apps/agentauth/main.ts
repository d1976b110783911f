import 'reflect-metadata';
import { readFile } from 'node:fs/promises';
import { Client } from '@temporalio/client';
import { importMandateJwks } from '../../adapters/jose/mandate-keys';
import type { MandateJwks } from '../../adapters/jose/mandate-keys';
import { sealedDataConverterFrom } from '../../adapters/temporal/data-converter';
import { clientTraces } from '../../adapters/temporal/traces';
import { openPolicy, reportPolicy } from '../policy';
import { runProcess } from '../process';
import { shutdownAsked } from '../shutdown';
import { openTracing } from '../tracing';
import { clientConnection } from '../temporal';
import { startAgentAuth } from './agentauth';
import { agentAuthProcessConfiguration } from './configuration';
import { metrics } from './metrics';
import { policiesOfWorker } from './policy-gate';

/** AgentAuth as a process of its own (the safe shape): no signing key, no decision. */
async function main(): Promise<void> {
  const configuration = agentAuthProcessConfiguration(process.env);
  const tracing = await openTracing('agentauth');
  const jwks: unknown = JSON.parse(await readFile(configuration.jwksFile, 'utf8'));
  importMandateJwks(jwks);
  const temporal = await clientConnection(configuration.temporal);
  const client = new Client({
    connection: temporal.connection,
    namespace: configuration.temporal.namespace,
    dataConverter: await sealedDataConverterFrom(configuration.codecKeysFile),
    interceptors: { workflow: [clientTraces] },
  });
  const policy = await openPolicy(configuration.policy, metrics.registry, policiesOfWorker(client));
  reportPolicy(policy, metrics.registry);
  const agentauth = await startAgentAuth(configuration, { client, policy, jwks: jwks as MandateJwks });
  process.stdout.write(`AgentAuth listens at ${agentauth.url}\n`);
  await shutdownAsked();
  await agentauth.close();
  await policy.close();
  await temporal.close();
  await tracing.close();
}

runProcess('agentauth', main);
