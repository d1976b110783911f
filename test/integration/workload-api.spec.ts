import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { createServer, request } from 'node:https';
import type { Server as HttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { status } from '@grpc/grpc-js';
import {
  PeerVerifier,
  rotateServerCertificate,
  serverTlsOptions,
  SpiffeAgent,
  WorkloadApiClient,
  X509Source,
} from '../../adapters/spiffe';
import type { OwnIdentity } from '../../adapters/spiffe';
import { createDevelopmentCa } from '../../adapters/spiffe/development-ca';
import type { DevelopmentCa } from '../../adapters/spiffe/development-ca';
import { parseEndpointAddress } from '../../adapters/spiffe/endpoint-address';
import type { X509SvidMessage, X509SvidResponse } from '../../adapters/spiffe/workload-api.service';
import { bestTime, timed } from '../support/best-time';
import { authorities, issuedBy, stateOf, WorkloadEndpoint } from '../support/workload-endpoint';
import { eventually } from '../support/eventually';

const AGENT = 'spiffe://corp.example/agent/finance-bot';
const unavailable: Error = expect.objectContaining({ code: 'workload_api_unavailable' });
const unusable: Error = expect.objectContaining({ code: 'workload_api_answer_malformed' });
const denied: Error = expect.objectContaining({ code: 'workload_api_denied' });

let directory: string;
let ca: DevelopmentCa;
let other: DevelopmentCa;
let endpoint: WorkloadEndpoint;
let client: WorkloadApiClient;

beforeAll(async () => {
  ca = await createDevelopmentCa('corp.example', 1);
  other = await createDevelopmentCa('partner.example', 1);
});

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'atb-workload-'));
  endpoint = new WorkloadEndpoint(join(directory, 'api.sock'));
  await endpoint.start();
  client = new WorkloadApiClient({ ...quick(), answerTimeoutMs: PATIENT.firstTimeoutMs });
});

afterEach(async () => {
  client.close();
  endpoint.stop();
  await rm(directory, { recursive: true, force: true });
});

const quick = () => ({ address: endpoint.address, backoff: { firstMs: 20, mostMs: 100 } });
/** For what is to come: a slow machine gets its time. */
const PATIENT = { firstTimeoutMs: 30_000 };

describe('the Workload API', () => {
  it('gives SVIDs and bundles, to who says that it is no confused proxy', async () => {
    const partner = authorities(other);
    endpoint.first = {
      ...stateOf(await svidOf(AGENT, 'internal'), await svidOf(`${AGENT}-2`, 'internal')),
      federatedBundles: { 'spiffe://partner.example': partner },
    };
    const { svids, bundles } = await client.fetchX509Context();
    // Of two with one hint, the first (SPIFFE Workload API §5.2.1).
    expect(svids.map(({ id, hint }) => [id.uri, hint])).toEqual([[AGENT, 'internal']]);
    expect(bundles.authoritiesOf('corp.example')).toHaveLength(1);
    expect(bundles.authoritiesOf('partner.example')).toHaveLength(1);
    expect(() => bundles.authoritiesOf('nobody.example')).toThrow(
      expect.objectContaining({ code: 'trust_domain_unknown' }) as Error,
    );
    const [jwt] = await client.fetchJwtSvids(['atb']);
    expect(jwt.id.uri).toBe(AGENT);
    expect(endpoint.headers).toEqual(['true', 'true']);
  });

  it('shows a rotation within a second', async () => {
    endpoint.first = stateOf(await svidOf(AGENT));
    const source = await X509Source.open(client, PATIENT);
    const time = await bestTime(1_000, async () => {
      const before = source.svid.certificatePem;
      const next = stateOf(await svidOf(AGENT));
      const changed = new Promise<void>((resolve) => source.onChange(resolve));
      const shown = await timed(() => {
        endpoint.push(next);
        return changed;
      });
      expect(source.svid.certificatePem).not.toBe(before);
      return shown;
    });
    expect(time).toBeLessThan(1_000);
    source.close();
  });

  it.each<[string, (svid: X509SvidMessage, stranger: X509SvidMessage) => Partial<X509SvidResponse>]>([
    ['no SVID', () => ({ svids: [] })],
    ['an SVID without its key', (svid) => ({ svids: [{ ...svid, x509SvidKey: Buffer.alloc(0) }] })],
    ["another's key", (svid, { x509SvidKey }) => ({ svids: [{ ...svid, x509SvidKey }] })],
    ["another's name", (svid, { spiffeId }) => ({ svids: [{ ...svid, spiffeId }] })],
    ['half a certificate', (svid) => ({ svids: [{ ...svid, x509Svid: svid.x509Svid.subarray(0, 99) }] })],
    ['a bundle that is cut off', (svid) => ({ svids: [{ ...svid, bundle: svid.bundle.subarray(0, 99) }] })],
    [
      "its own trust domain's bundle as a federated one",
      (svid) => ({ svids: [svid], federatedBundles: { 'spiffe://corp.example': svid.bundle } }),
    ],
    ['a bundle of a workload', (svid) => ({ svids: [svid], federatedBundles: { [AGENT]: svid.bundle } })],
  ])('is not believed where it sends %s: the last good state stays', async (_, broken) => {
    const svid = await svidOf(AGENT);
    const stranger = await svidOf('spiffe://corp.example/agent/hr-helper');
    const half = { crl: [], federatedBundles: {}, svids: [], ...broken(svid, stranger) };
    endpoint.first = half;
    await expect(client.fetchX509Context()).rejects.toEqual(unusable);

    endpoint.first = stateOf(svid);
    const errors: Error[] = [];
    const told = new Promise<void>((resolve) => {
      void X509Source.open(client, {
        ...PATIENT,
        onError: (error) => {
          errors.push(error);
          resolve();
        },
      }).then((source) => {
        sources.push(source);
        endpoint.push(half);
      });
    });
    await told;
    expect(errors).toEqual([unusable]);
    expect(sources.at(-1)?.svid.id.uri).toBe(AGENT);
  });

  it('that goes away leaves the last good state, and is found again', async () => {
    endpoint.first = stateOf(await svidOf(AGENT));
    const errors: Error[] = [];
    const source = await X509Source.open(client, { ...PATIENT, onError: (error) => errors.push(error) });
    const before = source.svid.certificatePem;
    endpoint.stop();
    await until(() => errors.length > 0);
    expect(errors[0]).toEqual(unavailable);
    expect(source.svid.certificatePem).toBe(before);

    endpoint.first = stateOf(await svidOf(AGENT));
    await endpoint.start();
    await until(() => source.svid.certificatePem !== before);
    source.close();
  });

  it('that takes the identity away leaves nothing to go on with', async () => {
    endpoint.first = stateOf(await svidOf(AGENT));
    const source = await X509Source.open(client, PATIENT);
    const changed = new Promise<void>((resolve) => source.onChange(resolve));
    endpoint.refuse(status.PERMISSION_DENIED);
    await changed;
    expect(() => source.svid).toThrow(denied);
    expect(() => source.authoritiesOf('corp.example')).toThrow(denied);
    source.close();
  });

  it('that hangs, or has nothing for us, is given up within two seconds', async () => {
    const usual = new WorkloadApiClient(quick());
    const given: (() => Promise<unknown>)[] = [
      () => usual.fetchX509Context(),
      () => X509Source.open(usual),
      () => X509Source.open(usual, { firstTimeoutMs: 200 }),
    ];
    for (const ask of given) {
      const time = await bestTime(2_000, () => timed(() => expect(ask()).rejects.toEqual(unavailable)));
      expect(time).toBeLessThan(2_000);
    }
    endpoint.refuse(status.PERMISSION_DENIED);
    await expect(usual.fetchX509Context()).rejects.toEqual(denied);
    await expect(X509Source.open(usual)).rejects.toEqual(denied);
    usual.close();
  });
});

describe('a server and a client that take their SVIDs from it', () => {
  it('rotate without dropping their connection, and part when the bundle is gone', async () => {
    endpoint.first = stateOf(await svidOf('spiffe://corp.example/broker'));
    const server = await X509Source.open(client, PATIENT);
    const other = new Identity();
    await other.become(ca, AGENT);
    const verifier = new PeerVerifier(server, 'clientAuth', ({ id }) => id.uri === AGENT);
    const https = await listening(server, verifier);
    const stop = rotateServerCertificate(https, server);
    const agent = new SpiffeAgent(other, ({ id }) => id.uri === 'spiffe://corp.example/broker');
    try {
      const first = await call(https, agent);
      expect(first.caller).toBe(AGENT);
      const changed = new Promise<void>((resolve) => server.onChange(resolve));
      endpoint.push(stateOf(await svidOf('spiffe://corp.example/broker')));
      await changed;
      const second = await call(https, agent);
      // The same connection, so still the certificate of before.
      expect(second).toEqual(first);
      const fresh = new SpiffeAgent(other, () => true);
      const third = await call(https, fresh);
      fresh.destroy();
      expect(third.serial).toBe(new X509Certificate(server.svid.certificatePem).serialNumber);
      expect(third.serial).not.toBe(first.serial);

      // The client's bundle of the server's trust domain is another one now: nothing more is sent to it.
      await other.trust(await createDevelopmentCa('corp.example', 1));
      await expect(call(https, agent)).rejects.toThrow();
    } finally {
      agent.destroy();
      stop();
      https.closeAllConnections();
      https.close();
      server.close();
    }
  });

  it('send nothing to somebody else', async () => {
    endpoint.first = stateOf(await svidOf('spiffe://corp.example/agent/hr-helper'));
    const server = await X509Source.open(client, PATIENT);
    const own = new Identity();
    await own.become(ca, AGENT);
    const https = await listening(server, new PeerVerifier(server, 'clientAuth'));
    const agent = new SpiffeAgent(own, ({ id }) => id.uri === 'spiffe://corp.example/broker');
    await expect(call(https, agent)).rejects.toMatchObject({ code: 'peer_not_authorized' });
    agent.destroy();
    https.closeAllConnections();
    https.close();
    server.close();
  });
});

describe('the address of the Workload API', () => {
  it.each([
    ['unix:///run/spire/api.sock', 'unix:/run/spire/api.sock'],
    ['unix:/run/spire/api.sock', 'unix:/run/spire/api.sock'],
    ['tcp://127.0.0.1:8000', 'ipv4:127.0.0.1:8000'],
    ['tcp://[::1]:8000', 'ipv6:[::1]:8000'],
  ])('%s is %s', (uri, target) => {
    expect(parseEndpointAddress(uri)).toBe(target);
  });

  it.each([
    undefined,
    '',
    '/run/api.sock',
    'unix://host/run/api.sock',
    'unix:run/api.sock',
    'unix:///',
    'unix:///run/api.sock?x',
    'tcp://localhost:8000',
    'tcp://127.0.0.1',
    'tcp://127.0.0.1:0',
    'tcp://127.0.0.1:65536',
    'tcp://127.0.0.1:8000/path',
    'tcp://user@127.0.0.1:8000',
    'https://127.0.0.1:8000',
    ' unix:///run/api.sock',
  ])('is refused when it reads %j', (uri) => {
    expect(() => parseEndpointAddress(uri)).toThrow(
      expect.objectContaining({ code: 'endpoint_address_malformed' }) as Error,
    );
  });
});

const sources: X509Source[] = [];
afterEach(() => {
  for (const source of sources.splice(0)) source.close();
});

/** An identity from memory, beside the one of the Workload API: one process has one. */
class Identity implements OwnIdentity {
  private own: OwnIdentity | undefined;
  private readonly endpoints: WorkloadEndpoint[] = [];
  private authority: DevelopmentCa | undefined;
  private name = '';

  async become(authority: DevelopmentCa, name: string): Promise<void> {
    [this.authority, this.name] = [authority, name];
    await this.load(authority);
  }

  /** The same SVID, and other authorities for its trust domain. */
  async trust(authority: DevelopmentCa): Promise<void> {
    await this.load(authority);
  }

  get svid() {
    return this.known().svid;
  }

  authoritiesOf(trustDomain: string) {
    return this.known().authoritiesOf(trustDomain);
  }

  onChange(): () => void {
    return () => undefined;
  }

  private async load(trusted: DevelopmentCa): Promise<void> {
    const [issuer, name] = [this.authority ?? trusted, this.name];
    const second = new WorkloadEndpoint(join(directory, `own-${this.endpoints.length}.sock`));
    this.endpoints.push(second);
    await second.start();
    second.first = stateOf({ ...(await issuedBy(issuer, { spiffeId: name })), bundle: authorities(trusted) });
    const api = new WorkloadApiClient({ address: second.address });
    const source = await X509Source.open(api, PATIENT);
    this.own = source;
    source.close();
    api.close();
    second.stop();
  }

  private known(): OwnIdentity {
    if (!this.own) throw new Error('it is nobody yet');
    return this.own;
  }
}

function svidOf(spiffeId: string, hint = ''): Promise<X509SvidMessage> {
  return issuedBy(ca, { spiffeId }, hint);
}

async function listening(identity: OwnIdentity, verifier: PeerVerifier): Promise<HttpsServer> {
  const server = createServer(serverTlsOptions(identity), (incoming, outgoing) => {
    try {
      const socket = incoming.socket as TLSSocket;
      const { id } = verifier.verify(socket, new Date());
      outgoing.end(`${id.uri} ${socket.getX509Certificate()?.serialNumber ?? ''}`);
    } catch {
      outgoing.writeHead(401).end();
    }
  });
  server.keepAliveTimeout = PATIENT.firstTimeoutMs;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

interface Called {
  /** Whom the server took the caller for. */
  readonly caller: string;
  /** Of the server's certificate on this connection. */
  readonly serial: string;
  readonly localPort: number | undefined;
}

function call(server: HttpsServer, agent: SpiffeAgent): Promise<Called> {
  const { port } = server.address() as AddressInfo;
  return new Promise((resolve, reject) => {
    let localPort: number | undefined;
    const sent = request({ host: '127.0.0.1', port, agent }, (response: IncomingMessage) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.on('end', () => {
        const [caller = '', serial = ''] = body.split(' ');
        resolve({ caller, serial, localPort });
      });
    });
    sent.on('socket', (socket) => {
      ({ localPort } = socket);
    });
    sent.on('error', reject);
    sent.end();
  });
}

const until = (condition: () => boolean) => eventually(condition, (holds) => holds, 20);
