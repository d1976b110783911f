import { X509Certificate } from 'node:crypto';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NestFactory } from '@nestjs/core';
import { Client } from '@temporalio/client';
import { createDevelopmentCa, issueSvid } from '../../adapters/spiffe/development-ca';
import type { DevelopmentCa, SvidProfile } from '../../adapters/spiffe/development-ca';
import { readCodecKeys } from '../../adapters/temporal/codec-keys';
import { sealedDataConverter } from '../../adapters/temporal/data-converter';
import { NAMESPACE } from '../../adapters/temporal/server-settings';
import { Environment } from '../../apps/environment';
import { clientConnection, temporalConfiguration } from '../../apps/temporal';
import type { TemporalConfiguration } from '../../apps/temporal';
import { workerConfiguration } from '../../apps/worker/configuration';
import { openWorkerPorts } from '../../apps/worker/ports';
import { TemporalConnection } from '../../apps/worker/temporal-connection';
import { WorkerModule } from '../../apps/worker/worker.module';
import { READINESS, TASK_QUEUE } from '../../workflows/contract';
import { eventually } from '../support/eventually';
import type { TlsIdentity } from '../support/http';
import { TestStack } from '../support/stack';
import { TemporalHop } from '../support/temporal-hop';
import { issuedBy, stateOf, WorkloadEndpoint } from '../support/workload-endpoint';

const WORKER = 'spiffe://corp.example/worker';
const LIFE_MS = 12_000;

let ca: DevelopmentCa;
let stack: TestStack;
let directory: string;
let hop: TemporalHop;
const closing: (() => unknown)[] = [];

beforeAll(async () => {
  ca = await createDevelopmentCa('corp.example', 1);
  stack = await TestStack.start();
  await stack.stack.parts.worker.stop();
});

afterAll(() => stack.stop());

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'atb-temporal-'));
  const temporal = { spiffeId: 'spiffe://corp.example/temporal', dnsNames: ['localhost'] };
  hop = await TemporalHop.start(stack.stack.temporalAddress, await svid(temporal), ca.certificatePem);
  closing.push(() => hop.stop());
});

afterEach(async () => {
  for (const step of closing.splice(0).reverse()) await step();
  await rm(directory, { recursive: true, force: true });
});

const SOURCES = { files: fromFiles, 'the Workload API': fromWorkloadApi };

describe.each(Object.entries(SOURCES))('with the certificate for Temporal from %s', (_, source) => {
  it('goes on through two rotations, whose certificates each live for seconds, without losing work', async () => {
    const { tls, renew } = await source();
    const rotations = setInterval(() => void renew(), LIFE_MS / 3);
    closing.push(() => {
      clearInterval(rotations);
    });
    await startWorker(tls);
    const client = await startClient(tls);
    const until = Date.now() + 2 * LIFE_MS;
    let done = 0;
    while (Date.now() < until || done <= 20) {
      await client.workflow.execute(READINESS, {
        taskQueue: TASK_QUEUE,
        workflowId: `readiness-${_.length}-${String(done)}`,
      });
      done += 1;
    }
    expect(done).toBeGreaterThan(20);
    // Each end came with at least three certificates, and none with one that had run out.
    expect(new Set(hop.shown).size).toBeGreaterThanOrEqual(3);
    expect(hop.refused).toBe(0);
  });
});

it('keeps what it has while the files are half written or gone, and takes the whole ones', async () => {
  const { tls, files } = await fromFiles(3_600_000);
  const connection = await TemporalConnection.open({ address: hop.address, tls });
  closing.push(() => connection.close());
  const first = connection.current;
  const other = await svid({ spiffeId: WORKER });
  await writeFile(files.certFile, other.cert);
  await pause(1_000);
  expect(connection.current).toBe(first);
  await rm(files.keyFile);
  await pause(1_000);
  expect(connection.current).toBe(first);
  await writeFile(files.keyFile, other.key);
  await eventually(
    () => connection.current,
    (current) => current !== first,
  );
  expect(hop.shown.at(-1)).toBe(new X509Certificate(other.cert).serialNumber);
});

it('refuses a Temporal that another authority vouches for, and does not start', async () => {
  const stranger = await createDevelopmentCa('corp.example', 1);
  const identity = await svid(
    { spiffeId: 'spiffe://corp.example/temporal', dnsNames: ['localhost'] },
    stranger,
  );
  const pretender = await TemporalHop.start(stack.stack.temporalAddress, identity, ca.certificatePem);
  closing.push(() => pretender.stop());
  const { tls } = await fromWorkloadApi();
  await expect(TemporalConnection.open({ address: pretender.address, tls })).rejects.toThrow();
  await expect(startClient(tls, pretender.address)).rejects.toThrow();
  expect(pretender.shown).toEqual([]);
});

async function startWorker(tls: TemporalConfiguration['tls']): Promise<void> {
  const at = (name: string) => join(stack.directory, name);
  const configuration = workerConfiguration({
    ATB_TEMPORAL_ADDRESS: hop.address,
    ATB_CODEC_KEYS_FILE: at('codec-keys.json'),
    ATB_DATABASE_URL_FILE: at('database-url'),
    ATB_SIGNING_KEYS_FILE: at('keys/mandate-keys.json'),
    ATB_AUDIT_KEYS_FILE: at('audit-keys.json'),
    ATB_POLICY_BUNDLE_FILE: at('policy/bundle.tar.gz'),
    ATB_POLICY_PUBLIC_KEY_FILE: at('policy/public-key.pem'),
    ATB_TICKETS_FILE: at('tickets.json'),
    ATB_NOTIFICATIONS_FILE: at('notifications.jsonl'),
    ATB_ISSUER: 'spiffe://corp.example/agentauth',
    ATB_AUDIENCE: 'spiffe://corp.example/broker',
    ATB_TRUST_BUNDLE_FILE: stack.trustBundle,
  });
  const ports = await openWorkerPorts(configuration);
  closing.push(() => ports.close());
  const connection = await TemporalConnection.open({ address: hop.address, tls });
  closing.push(() => connection.close());
  const application = await NestFactory.createApplicationContext(
    WorkerModule.register({
      connection,
      namespace: configuration.temporal.namespace,
      codecKeys: await readCodecKeys(configuration.codecKeysFile),
      ports,
      metrics: ports.metrics,
      maxConcurrentWorkflowTasks: configuration.maxConcurrentWorkflowTasks,
      maxCachedWorkflows: configuration.maxCachedWorkflows,
      onFatal: (error) => {
        throw error;
      },
    }),
    { logger: ['error'], abortOnError: false },
  );
  closing.push(() => application.close());
}

/** As AgentAuth connects. */
async function startClient(tls: TemporalConfiguration['tls'], address = hop.address): Promise<Client> {
  const { connection, close } = await clientConnection({ address, namespace: NAMESPACE, tls });
  closing.push(close);
  const codecKeys = await readCodecKeys(join(stack.directory, 'codec-keys.json'));
  return new Client({
    connection,
    namespace: NAMESPACE,
    dataConverter: sealedDataConverter(codecKeys, 'throw'),
  });
}

async function fromFiles(lifeMs = LIFE_MS) {
  const files = ['cert.pem', 'key.pem', 'ca.pem'].map((name) => join(directory, name));
  const [certFile = '', keyFile = '', caFile = ''] = files;
  await writeFile(caFile, ca.certificatePem);
  const renew = async () => {
    const { cert, key } = await svid({ spiffeId: WORKER, notAfter: new Date(Date.now() + lifeMs) });
    for (const [path, content] of [
      [keyFile, key],
      [certFile, cert],
    ] as const) {
      await writeFile(`${path}.new`, content);
      await rename(`${path}.new`, path);
    }
  };
  await renew();
  return {
    renew,
    files: { certFile, keyFile },
    tls: settings({
      ATB_TEMPORAL_TLS_CERT_FILE: certFile,
      ATB_TEMPORAL_TLS_KEY_FILE: keyFile,
      ATB_TEMPORAL_TLS_CA_FILE: caFile,
    }),
  };
}

async function fromWorkloadApi() {
  const endpoint = new WorkloadEndpoint(join(directory, 'api.sock'));
  const next = async () =>
    stateOf(await issuedBy(ca, { spiffeId: WORKER, notAfter: new Date(Date.now() + LIFE_MS) }));
  endpoint.first = await next();
  await endpoint.start();
  closing.push(() => {
    endpoint.stop();
  });
  return {
    renew: async () => {
      endpoint.push(await next());
    },
    tls: settings({ ATB_TEMPORAL_TLS: 'svid', SPIFFE_ENDPOINT_SOCKET: endpoint.address }),
  };
}

function settings(variables: Record<string, string>): TemporalConfiguration['tls'] {
  const environment = new Environment({ ATB_TEMPORAL_ADDRESS: hop.address, ...variables });
  const { tls } = temporalConfiguration(environment);
  environment.finish('this test');
  return tls;
}

async function svid(
  profile: Partial<SvidProfile> & Pick<SvidProfile, 'spiffeId'>,
  authority = ca,
): Promise<TlsIdentity> {
  const { chainPem, privateKeyPem } = await issueSvid(authority, { ttlHours: 1, ...profile });
  return { cert: chainPem, key: privateKeyPem };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
