import { X509Certificate } from 'node:crypto';
import { copyFile, link, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { connect } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { loadMandateKeySet } from '../../adapters/jose/mandate-keys';
import { startServerProcess } from '../../adapters/process/server-process';
import type { ServerProcess } from '../../adapters/process/server-process';
import { WorkloadApiClient, X509Source } from '../../adapters/spiffe';
import { createDevelopmentCa, issueSvid } from '../../adapters/spiffe/development-ca';
import { Approver } from '../support/approver';
import { HttpCaller } from '../support/http';
import type { TlsIdentity } from '../support/http';
import { Spire } from '../support/spire';
import { freePortBase } from '../../apps/atb/dev/ports';
import { TestStack } from '../support/stack';

const SVID_TTL_SECONDS = 40;

let directory: string;
let stack: TestStack;
let spire: Spire;
let api: WorkloadApiClient;
/** Of this very process, which is the agent. */
let own: X509Source;
let upstream: Server;
/** Whom the system behind the broker saw. */
const seen: (string | undefined)[] = [];
const processes: ServerProcess[] = [];
const callers: HttpCaller[] = [];
const people = new Map<string, TlsIdentity>();
let agentauth: string;
let broker: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'atb-spire-'));
  const base = await freePortBase();
  const at = (offset: number) => base + offset;
  // One machine, one account: each process is known by its executable.
  const [agentauthNode, workerNode, brokerNode] = await Promise.all(
    ['agentauth', 'worker', 'broker'].map((name) => executableFor(name)),
  );
  stack = await TestStack.start();
  // Its database, its Temporal and its keys are used here; its worker is not.
  await stack.stack.parts.worker.stop();
  spire = await Spire.start(
    join(directory, 'spire'),
    { server: at(0), postgres: at(1) },
    {
      agentauth: agentauthNode ?? '',
      worker: workerNode ?? '',
      broker: brokerNode ?? '',
      agents: { 'agent/finance-bot': process.execPath },
      svidTtlSeconds: SVID_TTL_SECONDS,
    },
  );
  upstream = await systemBehind();
  const shared = {
    ATB_TEMPORAL_ADDRESS: stack.stack.temporalAddress,
    ATB_CODEC_KEYS_FILE: inStack('codec-keys.json'),
    ATB_DATABASE_URL_FILE: inStack('database-url'),
    ATB_POLICY_BUNDLE_FILE: inStack('policy/bundle.tar.gz'),
    ATB_POLICY_PUBLIC_KEY_FILE: inStack('policy/public-key.pem'),
    ATB_ISSUER: 'spiffe://corp.example/agentauth',
    ATB_AUDIENCE: 'spiffe://corp.example/broker',
    ATB_TICKETS_FILE: inStack('tickets.json'),
    SPIFFE_ENDPOINT_SOCKET: spire.endpoint,
  };
  const { jwks } = await loadMandateKeySet(inStack('keys/mandate-keys.json'));
  const jwksFile = await file('jwks.json', JSON.stringify(jwks));
  await start('worker', workerNode, at(3), {
    ...shared,
    ATB_SIGNING_KEYS_FILE: inStack('keys/mandate-keys.json'),
    ATB_AUDIT_KEYS_FILE: inStack('audit-keys.json'),
    ATB_NOTIFICATIONS_FILE: inStack('notifications.jsonl'),
    ATB_WORKER_ADMIN_PORT: String(at(3)),
  });
  await start('agentauth', agentauthNode, at(5), {
    ...shared,
    ATB_PORT: String(at(2)),
    ATB_ADMIN_PORT: String(at(5)),
    ATB_JWKS_FILE: jwksFile,
  });
  // The stack's own port range begins elsewhere: one more is free there for sure only after another look.
  const brokerBase = await freePortBase();
  await start('broker', brokerNode, brokerBase + 1, {
    ...shared,
    ATB_BROKER_PORT: String(brokerBase),
    ATB_BROKER_ADMIN_PORT: String(brokerBase + 1),
    ATB_BROKER_JWKS_FILE: jwksFile,
    ATB_CONNECTORS_DIR: await connectors(),
    ATB_REQUIRE_CONNECTOR_SIGN_OFF: 'false',
  });
  agentauth = `https://localhost:${at(2)}`;
  broker = `https://localhost:${brokerBase}`;
  for (const name of ['bob', 'alice', 'carol'])
    people.set(`person/${name}`, await spire.mint(`person/${name}`));
  api = new WorkloadApiClient({ address: spire.endpoint });
  own = await X509Source.open(api, { firstTimeoutMs: 20_000 });
}, 240_000);

afterAll(async () => {
  for (const caller of callers) caller.close();
  own.close();
  api.close();
  for (const child of processes.reverse()) await child.stop();
  upstream.closeAllConnections();
  await new Promise((done) => upstream.close(done));
  await spire.stop();
  await stack.stop();
  await rm(directory, { recursive: true, force: true });
});

it('does the whole main job on SVIDs of a real SPIRE, through two rotations', async () => {
  expect(own.svid.id.uri).toBe('spiffe://corp.example/agent/finance-bot');
  const rounds = [await mainJob()];
  while (rounds.length < 3) {
    await rotated();
    rounds.push(await mainJob());
  }
  // Each of the three showed another certificate in each round, and went by its own name.
  for (const who of ['agent', 'agentauth', 'broker'] as const) {
    expect(new Set(rounds.map((round) => round[who])).size).toBe(rounds.length);
  }
  expect(new Set(seen)).toEqual(new Set(['spiffe://corp.example/broker']));
});

it('gives a process that has no registration entry no identity, and so it does not start', async () => {
  const stranger = await executableFor('stranger');
  const started = start('agentauth', stranger, 1, {
    SPIFFE_ENDPOINT_SOCKET: spire.endpoint,
    ATB_TEMPORAL_ADDRESS: stack.stack.temporalAddress,
    ATB_CODEC_KEYS_FILE: inStack('codec-keys.json'),
    ATB_POLICY_BUNDLE_FILE: inStack('policy/bundle.tar.gz'),
    ATB_POLICY_PUBLIC_KEY_FILE: inStack('policy/public-key.pem'),
    ATB_ISSUER: 'spiffe://corp.example/agentauth',
    ATB_AUDIENCE: 'spiffe://corp.example/broker',
    ATB_JWKS_FILE: join(directory, 'jwks.json'),
  });
  await expect(started).rejects.toThrow('no identity for this process');
});

/** Low at once, high with two approvals, and both redeemed. Answers the serial numbers of who took part. */
async function mainJob() {
  const { svid } = own;
  const identity = { cert: svid.certificatePem, key: svid.privateKeyPem };
  const toIssue = caller(agentauth, identity);
  const toRedeem = caller(broker, identity);

  const low = await toIssue.post('/issue', {
    act: 'crm.contact.read',
    con: { params: { contact_id: 'C-42' } },
    leg: { basis: 'LI', ref: 'LI-2024-001', description: 'Routine system maintenance' },
  });
  expect(low).toMatchObject({ status: 201, body: { tier: 'low' } });
  const authorization = (mandate: unknown) => ({ authorization: `PoA ${String(mandate)}` });
  const read = await toRedeem.send('GET', '/c/erp/contacts/C-42', undefined, authorization(low.body.mandate));
  expect(read.status).toBe(200);

  const asked = await toIssue.post('/issue', {
    act: 'sap.payment.execute',
    con: { params: { amount: 1250 } },
  });
  expect(asked).toMatchObject({ status: 202, body: { tier: 'high' } });
  const id = String(asked.body.request_id);
  const staff = {
    identity: (name: string) => people.get(name) ?? fail(name),
    as: (name: string) => HttpCaller.fromFiles(agentauth, spire.trustBundleFile, people.get(name)),
  };
  for (const [name, role] of [
    ['person/bob', 'compliance'],
    ['person/carol', 'security'],
  ] as const) {
    expect(await new Approver(staff, name, role).give(id)).toMatchObject({ status: 200 });
  }
  const collected = await toIssue.post(`/requests/${id}/collect`);
  expect(collected).toMatchObject({ status: 200, body: { state: 'issued' } });
  const pay = () => toRedeem.post('/c/erp/payments', { amount: 1250 }, authorization(collected.body.mandate));
  expect(await pay()).toMatchObject({ status: 200 });
  expect(await pay()).toMatchObject({ status: 409, body: { code: 'poa_single_use_replay_blocked' } });
  return {
    agent: new X509Certificate(svid.certificatePem).serialNumber,
    agentauth: await serialShownBy(agentauth),
    broker: await serialShownBy(broker),
  };
}

/** Waits until everybody has another SVID than now: SPIRE renews at half of an SVID's life. */
async function rotated(): Promise<void> {
  const before = [own.svid.certificatePem, await serialShownBy(agentauth), await serialShownBy(broker)];
  for (let tries = 0; tries < 360; tries++) {
    const now = [own.svid.certificatePem, await serialShownBy(agentauth), await serialShownBy(broker)];
    if (now.every((one, index) => one !== before[index])) return;
    await new Promise((done) => setTimeout(done, 250));
  }
  throw new Error('nobody rotates');
}

async function serialShownBy(url: string): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((done, refuse) => {
    const socket = connect({
      host: hostname,
      port: Number(port),
      servername: hostname,
      rejectUnauthorized: false,
    });
    socket.once('error', refuse);
    socket.once('secureConnect', () => {
      done(socket.getPeerX509Certificate()?.serialNumber ?? '');
      socket.destroy();
    });
  });
}

function caller(url: string, identity: TlsIdentity): HttpCaller {
  const bundle = own.bundles.authoritiesOf('corp.example');
  const ca = bundle.map(({ der }) => new X509Certificate(der).toString()).join('');
  const made = new HttpCaller(url, ca, identity);
  callers.push(made);
  return made;
}

/** The same Node under another path. */
async function executableFor(name: string): Promise<string> {
  const path = join(directory, 'bin', name);
  await mkdir(join(directory, 'bin'), { recursive: true });
  // A link where both are on one file system.
  await link(process.execPath, path).catch(() => copyFile(process.execPath, path));
  return path;
}

async function start(
  app: 'agentauth' | 'worker' | 'broker',
  executable: string | undefined,
  adminPort: number,
  environment: Record<string, string>,
): Promise<void> {
  const { PATH = '' } = process.env;
  processes.push(
    await startServerProcess({
      title: app,
      command: executable ?? '',
      args: [resolve('dist/apps', app, 'main.js')],
      logFile: join(directory, `${app}.log`),
      env: { PATH, ...environment },
      stopSignal: 'SIGTERM',
      healthyWithinMs: 60_000,
      isHealthy: async () => {
        const { ok } = await fetch(`http://127.0.0.1:${adminPort}/readyz`);
        if (!ok) throw new Error('not ready');
      },
    }),
  );
}

/** A system that asks for the broker's certificate, and looks whose it is. */
async function systemBehind(): Promise<Server> {
  const ca = await createDevelopmentCa('systems.example', 1);
  const { chainPem, privateKeyPem } = await issueSvid(ca, {
    spiffeId: 'spiffe://systems.example/erp',
    ttlHours: 1,
    dnsNames: ['localhost'],
  });
  await file('erp-ca.pem', ca.certificatePem);
  const server = createServer(
    { cert: chainPem, key: privateKeyPem, requestCert: true, rejectUnauthorized: false },
    (request, response) => {
      const names = (request.socket as TLSSocket).getPeerX509Certificate()?.subjectAltName;
      if (names !== undefined) seen.push(/URI:([^,]+)/.exec(names)?.[1]);
      response
        .writeHead(200, { 'content-type': 'application/json', connection: 'close' })
        .end('{"done":true}');
    },
  );
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return server;
}

async function connectors(): Promise<string> {
  const { port } = upstream.address() as AddressInfo;
  await mkdir(join(directory, 'connectors'));
  await file(
    'connectors/erp.json',
    JSON.stringify({
      id: 'erp',
      title: 'The ERP of this test',
      owner: 'Broker-Team',
      state: 'active',
      data_classification: 'confidential',
      upstream: {
        url: `https://localhost:${port}/api`,
        ca_file: '../erp-ca.pem',
        client_certificate: 'broker',
      },
      egress: { allow: [{ host: 'localhost', port }], private_addresses: ['127.0.0.0/8', '::1/128'] },
      routes: [
        {
          method: 'POST',
          path: '/payments',
          action: 'sap.payment.execute',
          parameters: { amount: [{ in: 'body', pointer: '/amount' }] },
        },
        {
          method: 'GET',
          path: '/contacts/:contact_id',
          action: 'crm.contact.read',
          parameters: { contact_id: [{ in: 'path', name: 'contact_id' }] },
        },
      ],
    }),
  );
  return join(directory, 'connectors');
}

async function file(name: string, content: string): Promise<string> {
  await writeFile(join(directory, name), content);
  return join(directory, name);
}

function inStack(name: string): string {
  return join(stack.directory, name);
}

function fail(name: string): never {
  throw new Error(`${name} has no SVID`);
}
