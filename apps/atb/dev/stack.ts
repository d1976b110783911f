import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { NestFactory } from '@nestjs/core';
import { Client } from '@temporalio/client';
import { startEmbeddedPostgres } from '../../../adapters/postgres/embedded';
import { migrate } from '../../../adapters/postgres/schema';
import { obtainExecutable } from '../../../adapters/process/executable';
import { readCodecKeys } from '../../../adapters/temporal/codec-keys';
import { startCodecServer, tokenAuthenticator } from '../../../adapters/temporal/codec-server';
import { sealedDataConverter } from '../../../adapters/temporal/data-converter';
import { clientTraces } from '../../../adapters/temporal/traces';
import { startDevServer } from '../../../adapters/temporal/dev-server';
import { NAMESPACE } from '../../../adapters/temporal/server-settings';
import { READINESS, TASK_QUEUE } from '../../../workflows/contract';
import { startBroker } from '../../broker/broker';
import { brokerConfiguration } from '../../broker/configuration';
import { startAgentAuth } from '../../agentauth/agentauth';
import { agentAuthConfiguration } from '../../agentauth/configuration';
import { metrics } from '../../agentauth/metrics';
import { logConfiguration } from '../../log/configuration';
import { startLog } from '../../log/log';
import { operationsConfiguration } from '../../operations/configuration';
import { startOperations } from '../../operations/operations';
import { reportPolicy } from '../../policy';
import { openWorkerPorts } from '../../worker/ports';
import { workerConfiguration } from '../../worker/configuration';
import { TemporalConnection } from '../../worker/temporal-connection';
import { workflowBundle } from '../../worker/temporal-worker';
import { WorkerModule } from '../../worker/worker.module';
import { AGENTAUTH_ID, BROKER_ID } from './example-company';
import { brokerEnvironment, startExampleSystems, writeConnectors } from './broker';
import { signOffConnectors } from './connector-sign-off';
import type { DevelopmentIdentities } from './identities';
import { requireFree } from './ports';
import type { StackPorts } from './ports';
import type { Progress } from './progress';
import { signOffPolicy } from './policy-sign-off';
import { selfCheck } from './self-check';
import { developmentEnvironment, developmentSettings } from './settings';
import { ExamplePeople } from './sign-off';
import { readOrCreate, removeQuietly, stateFiles, writePrivate } from './state';
import type { StateFiles } from './state';

export interface StackOptions {
  readonly stateDirectory: string;
  readonly ports: StackPorts;
  readonly progress: Progress;
  /** A Temporal server that runs already; undefined to start one. */
  readonly temporalAddress?: string | undefined;
  /** Settings that differ from a development stack's, by their ATB_* names. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Settings of the database server that differ, by their names in PostgreSQL. */
  readonly postgresSettings?: Readonly<Record<string, string>>;
  /** Told when the worker or the log stops by itself. */
  readonly onFatal: (error: unknown) => void;
}

/** A development stack that is up. */
export interface Stack {
  readonly stateDirectory: string;
  readonly devJson: string;
  readonly agentauthUrl: string;
  readonly agentauthAdminUrl: string;
  readonly brokerUrl: string;
  readonly temporalAddress: string;
  readonly temporalUiUrl: string | undefined;
  /** For the Temporal UI and command line, with its credential. */
  readonly codecEndpoint: string;
  readonly identities: DevelopmentIdentities['identities'];
  /** Stops everything, in order; what is durable stays. */
  stop(): Promise<void>;
  /** Parts that can be stopped and started again by themselves, to see what their failure does. */
  readonly parts: { readonly temporal: Part; readonly postgres: Part; readonly worker: Part };
}

export interface Part {
  start(): Promise<void>;
  /** Harmless when it is stopped already. */
  stop(): Promise<void>;
}

interface Stoppable {
  stop(): Promise<void>;
}

// An OPA sidecar is one process's own: where there is one, it is the worker's.
const EMBEDDED_POLICY = { ATB_POLICY: 'wasm' };

/** A part from the way to start it. */
function partOf(starting: () => Promise<Stoppable>): Part {
  let running: Stoppable | undefined;
  return {
    async start() {
      running = await starting();
    },
    async stop() {
      await running?.stop();
      running = undefined;
    },
  };
}

/** Starts everything on this machine, AgentAuth and worker in one process on one connection (the fast shape). */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { ports, progress } = options;
  const undo: (() => Promise<void>)[] = [];
  const stop = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    await requireFree(ports);
    const files = await stateFiles(options.stateDirectory);
    await removeQuietly(files.devJson);
    const { identities, server, broker, systems, nextPolicy } = await progress.step(
      'keys and identities of the example company',
      () => developmentSettings(files, options.environment?.ATB_POLICY_DIR ?? process.env.ATB_POLICY_DIR),
    );
    const codecToken = (
      await readOrCreate(files.codecToken, () => randomBytes(24).toString('base64url'))
    ).trim();
    const codecEndpoint = `http://127.0.0.1:${ports.codec}/${codecToken}`;

    // Needed last, and takes longest: whoever needs it hears what came of it.
    workflowBundle().catch(() => undefined);
    const temporal = await temporalServer(options, codecEndpoint);
    undo.push(() => temporal.part.stop());

    let databaseUrl = '';
    let ownerUrl = '';
    const postgres = partOf(async () => {
      const server = await startEmbeddedPostgres({
        stateDirectory: join(files.directory, 'postgres'),
        port: ports.postgres,
        settings: options.postgresSettings ?? {},
      });
      databaseUrl = server.serviceUrl;
      ownerUrl = server.url;
      return server;
    });
    undo.push(() => postgres.stop());
    // Neither needs the other, and none is left behind where one does not come up.
    const servers = await Promise.allSettled([
      temporal.start(),
      progress.step('a private PostgreSQL', () => postgres.start()),
    ]);
    for (const server of servers) if (server.status === 'rejected') throw server.reason;
    await migrate(ownerUrl);
    await writePrivate(files.databaseUrl, `${databaseUrl}\n`);

    const environment = {
      ...process.env,
      ...developmentEnvironment(files, ports, temporal.address, server),
      ...brokerEnvironment(ports, files, broker),
      ...options.environment,
    };
    const worker = workerConfiguration(environment);
    const codecKeys = await readCodecKeys(files.codecKeys);
    const connection = await TemporalConnection.open({ address: temporal.address, tls: undefined });
    undo.push(() => connection.close());
    const log = await startLog(logConfiguration(environment), () => undefined);
    log.ended.catch(options.onFatal);
    undo.push(() => log.stop());
    const workerPorts = await openWorkerPorts(worker);
    undo.push(() => workerPorts.close());

    const workerPart = partOf(async () => {
      const application = await NestFactory.createApplicationContext(
        WorkerModule.register({
          connection,
          namespace: NAMESPACE,
          codecKeys,
          ports: workerPorts,
          metrics: workerPorts.metrics,
          maxConcurrentWorkflowTasks: worker.maxConcurrentWorkflowTasks,
          maxCachedWorkflows: worker.maxCachedWorkflows,
          onFatal: options.onFatal,
        }),
        { logger: ['error', 'warn'], abortOnError: false },
      );
      return { stop: () => application.close() };
    });
    await progress.step('the worker (bundles the workflows)', () => workerPart.start());
    undo.push(() => workerPart.stop());

    const mayOperate =
      environment.ATB_OPERATIONS_FILE !== undefined && environment.ATB_OPERATIONS_FILE !== '';
    if (mayOperate) {
      const operations = await progress.step('what carries changes out', () =>
        startOperations(operationsConfiguration({ ...environment, ...EMBEDDED_POLICY }), options.onFatal),
      );
      undo.push(() => operations.stop());
    }

    const client = new Client({
      connection: connection.current,
      namespace: NAMESPACE,
      dataConverter: sealedDataConverter(codecKeys, 'throw'),
      interceptors: { workflow: [clientTraces] },
    });
    reportPolicy(workerPorts.policy, metrics.registry);
    const agentauth = await progress.step('AgentAuth', () =>
      startAgentAuth(agentAuthConfiguration(environment), {
        client,
        policy: workerPorts.policy,
        jwks: workerPorts.jwks,
        registries: [workerPorts.metrics.registry, log.metrics],
      }),
    );
    undo.push(() => agentauth.close());

    const people = new ExamplePeople(agentauth.url, identities, files.caCertificate);
    undo.push(() => {
      people.close();
      return Promise.resolve();
    });
    if (nextPolicy) {
      await progress.step(`policy ${nextPolicy.revision}: tests, and Security's approval`, () =>
        signOffPolicy(people, nextPolicy, { bundleFile: files.policy.bundle, policy: workerPorts.policy }),
      );
    }

    const brokerUrl = await progress.step(
      'two example systems, and the broker in front of them',
      async () => {
        await writeConnectors(ports, files);
        await signOffConnectors(people, files.connectors);
        undo.push(await startExampleSystems(ports, files, systems));
        const started = await startBroker(brokerConfiguration({ ...environment, ...EMBEDDED_POLICY }), {
          environment,
          onDefect: (error) => {
            process.stderr.write(`broker: ${error instanceof Error ? String(error.stack) : String(error)}\n`);
          },
        });
        undo.push(() => started.close());
        return started.url;
      },
    );

    const codec = await startCodecServer({
      keys: codecKeys,
      host: '127.0.0.1',
      port: ports.codec,
      uiOrigin: `http://127.0.0.1:${ports.temporalUi}`,
      authenticate: tokenAuthenticator(codecToken, 'the operator of this development stack'),
      onAccess: () => undefined,
    });
    undo.push(() => codec.close());

    const stack: Stack = {
      stateDirectory: files.directory,
      devJson: files.devJson,
      agentauthUrl: agentauth.url,
      agentauthAdminUrl: agentauth.adminUrl,
      brokerUrl,
      temporalAddress: temporal.address,
      temporalUiUrl: temporal.uiUrl,
      codecEndpoint,
      identities,
      stop,
      parts: { temporal: temporal.part, postgres, worker: workerPart },
    };
    await progress.step('self-check: a low-tier mandate, and a call with it', async (say) => {
      await client.workflow.execute(READINESS, {
        taskQueue: TASK_QUEUE,
        workflowId: `readiness/${randomBytes(8).toString('hex')}`,
      });
      say(await selfCheck(agentauth.url, brokerUrl, identities, files.caCertificate));
    });
    undo.push(() => removeQuietly(files.devJson));
    await writePrivate(files.devJson, devJson(stack, files));
    return stack;
  } catch (error) {
    await stop();
    throw error;
  }
}

async function temporalServer(options: StackOptions, codecEndpoint: string) {
  const { temporalAddress, ports, progress } = options;
  if (temporalAddress !== undefined) {
    // Somebody else's: it is not ours to stop.
    const part: Part = { start: () => Promise.resolve(), stop: () => Promise.resolve() };
    return { address: temporalAddress, uiUrl: undefined, part, start: () => part.start() };
  }
  const executable = await progress.step('the temporal command line', (say) =>
    obtainExecutable('temporal', { onProgress: say }),
  );
  const part = partOf(() =>
    startDevServer({
      executable,
      stateDirectory: options.stateDirectory,
      port: ports.temporal,
      uiPort: ports.temporalUi,
      uiCodecEndpoint: codecEndpoint,
    }),
  );
  const start = () => progress.step('a Temporal server', () => part.start());
  return {
    address: `127.0.0.1:${ports.temporal}`,
    uiUrl: `http://127.0.0.1:${ports.temporalUi}`,
    part,
    start,
  };
}

function devJson(stack: Stack, files: StateFiles): string {
  const content = {
    agentauth: { url: stack.agentauthUrl, admin_url: stack.agentauthAdminUrl, spiffe_id: AGENTAUTH_ID },
    broker: { url: stack.brokerUrl, spiffe_id: BROKER_ID },
    temporal: { address: stack.temporalAddress, namespace: NAMESPACE, ui_url: stack.temporalUiUrl ?? null },
    codec: { endpoint: stack.codecEndpoint, keys_file: files.codecKeys },
    policy: { bundle: files.policy.bundle, signing_key: files.policy.privateKey },
    audit: {
      database_url_file: files.databaseUrl,
      keys_file: files.auditKeys,
      log: files.log.directory,
      vkey_file: files.log.vkey,
    },
    trust_bundle: files.caCertificate,
    identities: stack.identities,
  };
  return `${JSON.stringify(content, null, 2)}\n`;
}
