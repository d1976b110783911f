import { X509Certificate } from 'node:crypto';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { Registry } from 'prom-client';
import { importMandateJwks, loadMandateKeySet } from '../../adapters/jose/mandate-keys';
import { createDevelopmentCa, issueSvid } from '../../adapters/spiffe/development-ca';
import type { DevelopmentCa, SvidProfile } from '../../adapters/spiffe/development-ca';
import { startAgentAuth } from '../../apps/agentauth/agentauth';
import { agentAuthConfiguration } from '../../apps/agentauth/configuration';
import { Environment } from '../../apps/environment';
import { policiesOfWorker } from '../../apps/agentauth/policy-gate';
import { openPolicy, policyConfiguration } from '../../apps/policy';
import { workerConfiguration } from '../../apps/worker/configuration';
import { openWorkerPorts } from '../../apps/worker/ports';
import { TestBroker } from '../support/broker';
import { bestTime, timed } from '../support/best-time';
import { freePort } from '../support/database';
import { eventually } from '../support/eventually';
import type { TlsIdentity } from '../support/http';
import { answerJson, HttpsServer } from '../support/https-server';
import { TestStack } from '../support/stack';
import { OneConnection } from '../support/tls-call';
import { authorities, issuedBy, stateOf, WorkloadEndpoint } from '../support/workload-endpoint';

const AGENT = 'spiffe://corp.example/agent/finance-bot';
const NAMES = { dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'] };
const WITHIN_MS = 1_000;

interface Process {
  readonly url: string;
  close(): Promise<void>;
}

/** A process of ours that others connect to. */
interface Subject {
  readonly spiffeId: string;
  /** Its settings of its own certificate and key. */
  readonly settings: readonly [cert: string, key: string];
  /** A call that is about nothing but who calls, and what it comes to when that is well. */
  readonly path: string;
  readonly well: object;
  start(environment: Record<string, string>): Promise<Process>;
}

let directory: string;
let ca: DevelopmentCa;
let stack: TestStack;
let broker: TestBroker;
const closing: (() => unknown)[] = [];

const SUBJECTS: Record<string, () => Subject> = {
  AgentAuth: () => ({
    spiffeId: 'spiffe://corp.example/agentauth',
    settings: ['ATB_TLS_CERT_FILE', 'ATB_TLS_KEY_FILE'],
    path: '/requests/there-is-none',
    well: { code: 'request_unknown' },
    start: startAgentAuthAlone,
  }),
  'the broker': () => ({
    spiffeId: 'spiffe://corp.example/broker',
    settings: ['ATB_BROKER_TLS_CERT_FILE', 'ATB_BROKER_TLS_KEY_FILE'],
    path: '/c/erp/contacts/1',
    well: { code: 'mandate_missing' },
    start: (environment) => broker.startBroker(environment),
  }),
};

beforeAll(async () => {
  ca = await createDevelopmentCa('corp.example', 1);
  stack = await TestStack.start();
  // A slow machine is no outage.
  const timeouts = { connect_ms: 15_000, first_byte_ms: 15_000, idle_ms: 15_000, total_ms: 30_000 };
  broker = await TestBroker.start({ connectors: (erp) => [{ ...erp, timeouts }] });
});

afterAll(async () => {
  await broker.stop();
  await stack.stop();
});

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'atb-identity-'));
});

afterEach(async () => {
  for (const step of closing.splice(0).reverse()) await step();
  await rm(directory, { recursive: true, force: true });
});

describe.each(Object.entries(SUBJECTS))('%s, with its identity from files', (_, subjectOf) => {
  const subject = subjectOf();

  it('shows a renewed SVID within a second, and drops no connection', async () => {
    const { url, files } = await fromFiles(subject);
    const open = client(url, await svid(AGENT));
    const first = await open.get(subject.path);
    expect(first).toMatchObject({ ...subject.well, closes: false });

    const seen = async () => {
      const renewed = await files.renew();
      const shown = await soon(() => client(url, renewed.client).get(subject.path), shows(renewed.serial));
      expect(shown).toMatchObject(subject.well);
    };
    expect(await bestTime(WITHIN_MS, () => timed(seen))).toBeLessThan(WITHIN_MS);
    expect(await open.get(subject.path)).toMatchObject({
      ...subject.well,
      connection: first.connection,
      serial: first.serial,
    });
  });

  it('keeps the SVID that it has while the files are half written, or gone', async () => {
    const { url, files } = await fromFiles(subject);
    const open = client(url, await svid(AGENT));
    const { serial } = await open.get(subject.path);
    const other = await svid(subject.spiffeId, NAMES);
    await writeFile(files.cert, other.cert);
    await pause();
    expect(await client(url, await svid(AGENT)).get(subject.path)).toMatchObject({ ...subject.well, serial });
    await rm(files.key);
    await pause();
    expect(await client(url, await svid(AGENT)).get(subject.path)).toMatchObject({ ...subject.well, serial });

    await writeFile(files.key, other.key);
    const now = serialOf(other);
    await soon(async () => client(url, await svid(AGENT)).get(subject.path), shows(now));
  });

  it('refuses the next request of a connection whose certificate has expired, and closes it', async () => {
    const { url } = await fromFiles(subject);
    const identity = await svid(AGENT, { notAfter: new Date(Date.now() + 8_000) });
    const open = client(url, identity);
    const first = await open.get(subject.path);
    expect(first).toMatchObject({ ...subject.well, closes: false });
    await pause(Date.parse(new X509Certificate(identity.cert).validTo) + 1_100 - Date.now());
    expect(await open.get(subject.path)).toEqual({
      ...first,
      status: 401,
      code: 'certificate_expired',
      closes: true,
    });
    const again = await open.get(subject.path);
    expect(again.code).toBe('certificate_expired');
    expect(again.connection).not.toBe(first.connection);
  });

  it('refuses the next request of a connection whose bundle was taken away, and closes it', async () => {
    const { url, files } = await fromFiles(subject);
    const open = client(url, await svid(AGENT));
    const first = await open.get(subject.path);
    expect(first).toMatchObject(subject.well);

    // Half a bundle takes nothing away, and gives nothing.
    await writeFile(files.bundle, ca.certificatePem.slice(0, 100));
    await pause();
    expect(await open.get(subject.path)).toEqual(first);

    await writeFile(files.bundle, (await createDevelopmentCa('corp.example', 1)).certificatePem);
    const other = await soon(() => open.get(subject.path), coded('untrusted_svid'));
    expect(other).toMatchObject({ connection: first.connection, status: 401, closes: true });

    await rm(files.bundle);
    const gone = await soon(() => open.get(subject.path), coded('trust_domain_unknown'));
    expect(gone).toMatchObject({ status: 401, closes: true });

    await writeFile(files.bundle, ca.certificatePem);
    await soon(() => open.get(subject.path), coded((subject.well as { code: string }).code));
  });

  it('does not start with files that have no SVID, or with two sources of its identity', async () => {
    const files = await identityFiles(subject);
    await writeFile(files.key, (await svid(AGENT)).key);
    await expect(subject.start(files.environment)).rejects.toMatchObject({ code: 'configuration_invalid' });
    const both = { ...files.environment, SPIFFE_ENDPOINT_SOCKET: 'unix:///nowhere.sock' };
    const start = async () => subject.start(both);
    await expect(start()).rejects.toMatchObject({
      code: 'configuration_invalid',
      errors: expect.arrayContaining([expect.objectContaining({ code: 'configuration_invalid' })]),
    });
  });
});

describe.each(Object.entries(SUBJECTS))('%s, with its identity from the Workload API', (_, subjectOf) => {
  const subject = subjectOf();

  it('shows a renewed SVID within a second, and drops no connection', async () => {
    const { url, endpoint } = await fromWorkloadApi(subject);
    const open = client(url, await svid(AGENT));
    const first = await open.get(subject.path);
    expect(first).toMatchObject(subject.well);
    const seen = async () => {
      const serial = await rotate(endpoint, subject);
      await soon(async () => client(url, await svid(AGENT)).get(subject.path), shows(serial));
    };
    expect(await bestTime(WITHIN_MS, () => timed(seen))).toBeLessThan(WITHIN_MS);
    expect(await open.get(subject.path)).toEqual(first);
  });

  it('keeps its last good state while the Workload API sends half an update, hangs, or goes away', async () => {
    const { url, endpoint } = await fromWorkloadApi(subject);
    const open = client(url, await svid(AGENT));
    const first = await open.get(subject.path);
    const still = async () => {
      await pause();
      expect(await open.get(subject.path)).toEqual(first);
      const fresh = await client(url, await svid(AGENT)).get(subject.path);
      expect(fresh).toMatchObject({ ...subject.well, serial: first.serial });
    };
    const whole = await issuedBy(ca, { spiffeId: subject.spiffeId, ...NAMES });
    endpoint.push(stateOf({ ...whole, x509SvidKey: new Uint8Array() }));
    await still();
    endpoint.push(stateOf({ ...whole, bundle: whole.bundle.subarray(0, 99) }));
    await still();
    endpoint.stop();
    await still();
    endpoint.first = 'silence';
    await endpoint.start();
    await still();

    // Found again: the stream that hangs is given up, and the next one is told.
    const serial = await rotate(endpoint, subject);
    await soon(async () => client(url, await svid(AGENT)).get(subject.path), shows(serial));
  });

  it('refuses the next request of a connection whose bundle was taken away, and closes it', async () => {
    const { url, endpoint } = await fromWorkloadApi(subject);
    const open = client(url, await svid(AGENT));
    const first = await open.get(subject.path);
    const other = await createDevelopmentCa('corp.example', 1);
    const own = await issuedBy(ca, { spiffeId: subject.spiffeId, ...NAMES });
    endpoint.push(stateOf({ ...own, bundle: authorities(other) }));
    const refused = await soon(() => open.get(subject.path), coded('untrusted_svid'));
    expect(refused).toMatchObject({ connection: first.connection, status: 401, closes: true });
  });

  it('serves nobody once the Workload API says that it has no identity any more', async () => {
    const { url, endpoint } = await fromWorkloadApi(subject);
    const open = client(url, await svid(AGENT));
    await open.get(subject.path);
    endpoint.refuse(status.PERMISSION_DENIED);
    const refused = await soon(() => open.get(subject.path), coded('identity_unavailable'));
    expect(refused).toMatchObject({ status: 503, closes: true });
    await expect(client(url, await svid(AGENT)).get(subject.path)).rejects.toThrow();
  });
});

describe.each(Object.entries(SUBJECTS))('%s, federated with a second trust domain', (_, subjectOf) => {
  const subject = subjectOf();

  it('takes its SVIDs by the bundle from its endpoint, which speaks for nobody of ours (attack 25)', async () => {
    const partner = await createDevelopmentCa('partner.example', 1);
    const bundles = await HttpsServer.start();
    closing.push(() => bundles.stop());
    const x5c = [new X509Certificate(partner.certificatePem).raw.toString('base64')];
    bundles.handler = (__, response) => {
      answerJson(response, { keys: [{ kty: 'EC', use: 'x509-svid', x5c }], spiffe_refresh_hint: 1 });
    };
    const federation = (trustDomain: string) =>
      bundles.file(
        'federation.json',
        JSON.stringify({
          endpoints: [
            {
              trust_domain: trustDomain,
              url: bundles.url,
              profile: 'https_web',
              ca_file: join(bundles.directory, 'ca.pem'),
            },
          ],
        }),
      );
    const files = await identityFiles(subject);
    // The files know another authority of the partner: what the endpoint says counts.
    const environment = { ...files.environment, ATB_FEDERATION_FILE: await federation('partner.example') };
    const process = await subject.start(environment);
    closing.push(() => process.close());
    const buyer = await svid('spiffe://partner.example/agent/buyer', {}, partner);
    expect(await client(process.url, buyer).get(subject.path)).toMatchObject(subject.well);
    const forged = await svid(AGENT, {}, partner);
    expect(await client(process.url, forged).get(subject.path)).toMatchObject({ code: 'untrusted_svid' });

    // An endpoint that would give our own trust domain other authorities is refused at the start.
    await federation('corp.example');
    await expect(subject.start(environment)).rejects.toMatchObject({ code: 'configuration_invalid' });
  });
});

describe('the worker', () => {
  it.each(['files', 'the Workload API'])('judges evidence by the bundles of now, from %s', async (source) => {
    const bundle = join(directory, 'corp.example.pem');
    await writeFile(bundle, ca.certificatePem);
    const endpoint = await anEndpoint({ spiffeId: 'spiffe://corp.example/worker' });
    const ports = await openWorkerPorts(
      workerConfiguration({
        ...stackVariables(),
        ...(source === 'files'
          ? { ATB_TRUST_BUNDLE_FILE: bundle }
          : { ATB_TRUST_BUNDLE_FILE: '', SPIFFE_ENDPOINT_SOCKET: endpoint.address }),
      }),
    );
    closing.push(() => ports.close());
    const chain = [new X509Certificate((await svid(AGENT)).cert).raw.toString('base64')];
    expect(ports.svids.validate(chain, new Date())).toMatchObject({ spiffeId: AGENT });

    const other = await createDevelopmentCa('corp.example', 1);
    await writeFile(bundle, other.certificatePem);
    endpoint.push(stateOf(await issuedBy(other, { spiffeId: 'spiffe://corp.example/worker' })));
    const judged = () => {
      try {
        return ports.svids.validate(chain, new Date()).spiffeId;
      } catch (error) {
        return (error as { code?: string }).code;
      }
    };
    await eventually(judged, (judgement) => judgement === 'untrusted_svid');
  });
});

describe('the broker', () => {
  it('shows the renewed SVID to the systems behind it too', async () => {
    const bot = await broker.svid(AGENT);
    const serials: (string | undefined)[] = [];
    broker.answer = (request, __, response) => {
      const { socket } = request as unknown as {
        socket: { getPeerX509Certificate(): X509Certificate | undefined };
      };
      serials.push(socket.getPeerX509Certificate()?.serialNumber);
      // The next call connects anew.
      response.writeHead(200, { 'content-type': 'application/json', connection: 'close' }).end('{}');
    };
    const own = () => broker.svid('spiffe://corp.example/broker', NAMES);
    const [cert, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
    const write = async (identity: TlsIdentity) => {
      await writeFile(cert, identity.cert);
      await writeFile(key, identity.key);
      return serialOf(identity);
    };
    const before = await write(await own());
    const process = await broker.startBroker({
      ATB_BROKER_TLS_CERT_FILE: cert,
      ATB_BROKER_TLS_KEY_FILE: key,
    });
    closing.push(() => process.close());
    const caller = new OneConnection(process.url, broker.ca.certificatePem, bot);
    closing.push(() => {
      caller.close();
    });
    const read = async () => {
      const leaf = new X509Certificate(bot.cert);
      const thumbprint = Buffer.from(leaf.fingerprint256.replaceAll(':', ''), 'hex').toString('base64url');
      const mandate = await broker.mint({
        act: 'crm.contact.read',
        con: { params: { contact_id: '1' }, limits: {} },
        tier: 'low',
        cnf: { 'x5t#S256': thumbprint },
      });
      return caller.get('/c/erp/contacts/1', { authorization: `PoA ${mandate}` });
    };
    expect(await read()).toMatchObject({ status: 200 });
    expect(serials).toEqual([before]);
    const after = await write(await own());
    await eventually(read, ({ status }) => status === 200 && serials.at(-1) === after, 250);
    expect(new Set(serials)).toEqual(new Set([before, after]));
  });
});

/** AgentAuth as the process of its own that it is in production, on the stack's Temporal. */
async function startAgentAuthAlone(environment: Record<string, string>): Promise<Process> {
  const port = await freePort();
  const variables = {
    ...stackVariables(),
    ATB_PORT: String(port),
    ATB_ADMIN_PORT: '0',
    ...environment,
  };
  const configuration = agentAuthConfiguration(variables);
  const { jwks } = await loadMandateKeySet(join(stack.directory, 'keys', 'mandate-keys.json'));
  importMandateJwks(jwks);
  const client = await stack.sealedClient();
  const policy = await openPolicy(
    policyConfiguration(new Environment(variables)),
    new Registry(),
    policiesOfWorker(client),
  );
  try {
    const agentauth = await startAgentAuth(configuration, {
      client,
      policy,
      jwks,
    });
    return {
      url: agentauth.url,
      async close() {
        await agentauth.close();
        await policy.close();
      },
    };
  } catch (error) {
    await policy.close();
    throw error;
  }
}

function stackVariables(): Record<string, string> {
  const at = (name: string) => join(stack.directory, name);
  return {
    ATB_TEMPORAL_ADDRESS: stack.stack.temporalAddress,
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
  };
}

async function identityFiles({ settings: [certSetting, keySetting], spiffeId }: Subject) {
  const [cert, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
  const bundles = join(directory, 'bundles');
  const bundle = join(bundles, 'corp.example.pem');
  await mkdir(bundles, { recursive: true });
  await writeFile(bundle, ca.certificatePem);
  // A second trust domain, so that one may go.
  const partner = await createDevelopmentCa('partner.example', 1);
  await writeFile(join(bundles, 'partner.example.pem'), partner.certificatePem);
  const write = async (identity: TlsIdentity) => {
    await writeFile(`${key}.new`, identity.key);
    await rename(`${key}.new`, key);
    await writeFile(`${cert}.new`, identity.cert);
    await rename(`${cert}.new`, cert);
  };
  await write(await svid(spiffeId, NAMES));
  return {
    ...{ cert, key, bundle },
    environment: { [certSetting]: cert, [keySetting]: key, ATB_TRUST_BUNDLE_FILE: bundles },
    async renew() {
      const identity = await svid(spiffeId, NAMES);
      await write(identity);
      return { serial: serialOf(identity), client: await svid(AGENT) };
    },
  };
}

async function fromFiles(subject: Subject) {
  const files = await identityFiles(subject);
  const process = await subject.start(files.environment);
  closing.push(() => process.close());
  return { url: process.url, files };
}

async function anEndpoint(profile: Pick<SvidProfile, 'spiffeId'>): Promise<WorkloadEndpoint> {
  const endpoint = new WorkloadEndpoint(join(directory, 'api.sock'));
  endpoint.first = stateOf(await issuedBy(ca, { ...profile, ...NAMES }));
  await endpoint.start();
  closing.push(() => {
    endpoint.stop();
  });
  return endpoint;
}

async function fromWorkloadApi(subject: Subject) {
  const endpoint = await anEndpoint(subject);
  const process = await subject.start({
    ATB_TLS_CERT_FILE: '',
    ATB_TLS_KEY_FILE: '',
    ATB_BROKER_TLS_CERT_FILE: '',
    ATB_BROKER_TLS_KEY_FILE: '',
    ATB_TRUST_BUNDLE_FILE: '',
    SPIFFE_ENDPOINT_SOCKET: endpoint.address,
  });
  closing.push(() => process.close());
  return { url: process.url, endpoint };
}

/** Answers the serial number of the new SVID. */
async function rotate(endpoint: WorkloadEndpoint, { spiffeId }: Subject): Promise<string> {
  const issued = await issuedBy(ca, { spiffeId, ...NAMES });
  endpoint.push(stateOf(issued));
  return new X509Certificate(issued.x509Svid).serialNumber;
}

function client(url: string, identity: TlsIdentity): OneConnection {
  const connection = new OneConnection(url, ca.certificatePem, identity);
  closing.push(() => {
    connection.close();
  });
  return connection;
}

async function svid(
  spiffeId: string,
  profile: Partial<SvidProfile> = {},
  authority = ca,
): Promise<TlsIdentity> {
  const { chainPem, privateKeyPem } = await issueSvid(authority, { spiffeId, ttlHours: 1, ...profile });
  return { cert: chainPem, key: privateKeyPem };
}

function serialOf({ cert }: TlsIdentity): string {
  return new X509Certificate(cert).serialNumber;
}

const shows = (serial: string) => (called: { readonly serial: string | undefined }) =>
  called.serial === serial;
const coded = (code: string) => (called: { readonly code: string | undefined }) => called.code === code;

/** Asks until it is as expected. */
function soon<T>(ask: () => Promise<T>, expected: (answer: T) => boolean): Promise<T> {
  return eventually(ask, expected, 20);
}

/** As long as a change may take to be seen. */
function pause(ms = WITHIN_MS): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
