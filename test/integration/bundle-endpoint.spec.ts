import 'reflect-metadata';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { Server } from 'node:https';
import type { ServerResponse } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  FederatedBundles,
  TrustBundleSet,
  fetchBundle,
  parseBundleDocument,
  parsePemCertificates,
  validateX509Svid,
} from '../../adapters/spiffe';
import type { BundleEndpoint, FederatedBundlesOptions, SpiffeError } from '../../adapters/spiffe';
import { createDevelopmentCa, issueSvid } from '../../adapters/spiffe/development-ca';
import type { DevelopmentCa, SvidProfile } from '../../adapters/spiffe/development-ca';
import { openTrust, trustConfiguration } from '../../apps/identity';
import { Environment } from '../../apps/environment';
import { JwtAuthority } from '../support/jwt-authority';
import { bestTime, timed } from '../support/best-time';
import { eventually, found } from '../support/eventually';

const ENDPOINT_ID = 'spiffe://other.example/bundle-endpoint';
const refusal = (code: string): Error => expect.objectContaining({ code }) as Error;

/** A bundle endpoint over real TLS, which answers what a test tells it. */
class Endpoint {
  asked = 0;
  answer: (response: ServerResponse, path: string) => void = (response) => response.writeHead(404).end();

  private constructor(private readonly server: Server) {}

  static async start(ca: DevelopmentCa, profile: Partial<SvidProfile> = {}): Promise<Endpoint> {
    const own = { spiffeId: ENDPOINT_ID, ttlHours: 1, dnsNames: ['localhost'], ...profile };
    const { chainPem, privateKeyPem } = await issueSvid(ca, own);
    const server = createServer({ cert: chainPem, key: privateKeyPem });
    const endpoint = new Endpoint(server);
    server.on('request', (request, response) => {
      endpoint.asked++;
      endpoint.answer(response, request.url ?? '');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    started.push(endpoint);
    return endpoint;
  }

  get url(): string {
    return `https://localhost:${(this.server.address() as AddressInfo).port}/bundle`;
  }

  gives(document: object | string): void {
    const body = typeof document === 'string' ? document : JSON.stringify(document);
    this.answer = (response) => response.writeHead(200, { 'content-type': 'application/json' }).end(body);
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

const started: Endpoint[] = [];
const opened: FederatedBundles[] = [];
let webCa: DevelopmentCa;
let ownCa: DevelopmentCa;
let otherCa: DevelopmentCa;
let others: TrustBundleSet;
let folder: string;

beforeAll(async () => {
  webCa = await createDevelopmentCa('web.example', 1);
  ownCa = await createDevelopmentCa('corp.example', 1);
  otherCa = await createDevelopmentCa('other.example', 1);
  others = TrustBundleSet.of({ 'corp.example': parsePemCertificates(ownCa.certificatePem) });
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'atb-federation-'));
});
afterEach(async () => {
  for (const bundles of opened.splice(0)) bundles.close();
  for (const endpoint of started.splice(0)) await endpoint.stop();
  rmSync(folder, { recursive: true });
});

function bundleOf(ca: DevelopmentCa, parameters: Record<string, unknown> = {}, keys: readonly object[] = []) {
  const x5c = parsePemCertificates(ca.certificatePem).map((der) => Buffer.from(der).toString('base64'));
  return { keys: [{ kty: 'EC', use: 'x509-svid', x5c }, ...keys], ...parameters };
}

const web = (url: string): BundleEndpoint => ({
  ...{ trustDomain: 'other.example', url },
  profile: { type: 'https_web', authorities: webCa.certificatePem },
});
const spiffe = (url: string, endpointId = ENDPOINT_ID): BundleEndpoint => ({
  ...{ trustDomain: 'other.example', url },
  profile: { type: 'https_spiffe', endpointId },
});

async function open(
  endpoint: BundleEndpoint,
  options: Partial<FederatedBundlesOptions> = {},
): Promise<{ bundles: FederatedBundles; errors: SpiffeError[] }> {
  const errors: SpiffeError[] = [];
  const bundles = await FederatedBundles.open({
    ...{ endpoints: [endpoint], others, timeoutMs: 30_000, refreshSeconds: { least: 0.05, most: 0.05 } },
    onError: (_, error) => errors.push(error),
    ...options,
  });
  opened.push(bundles);
  return { bundles, errors };
}

async function svidOf(ca: DevelopmentCa, spiffeId: string): Promise<readonly Uint8Array[]> {
  return parsePemCertificates((await issueSvid(ca, { spiffeId, ttlHours: 1 })).chainPem);
}

const until = (condition: () => boolean) => eventually(condition, (holds) => holds, 20);

describe('a bundle endpoint with https_web (SPIFFE Federation §5.2.1)', () => {
  it('gives the bundle of its trust domain, and of no other', async () => {
    const endpoint = await Endpoint.start(webCa);
    const jwt = new JwtAuthority();
    endpoint.gives(bundleOf(otherCa, {}, [jwt.jwk]));
    const { bundles } = await open(web(endpoint.url));
    const svid = await svidOf(otherCa, 'spiffe://other.example/agent/a');
    expect(validateX509Svid(svid, bundles, new Date()).spiffeId).toBe('spiffe://other.example/agent/a');
    expect([...bundles.jwtAuthoritiesOf('other.example').keys()]).toEqual(['a']);
    const forged = await svidOf(otherCa, 'spiffe://corp.example/agent/a');
    expect(() => validateX509Svid(forged, bundles, new Date())).toThrow(refusal('untrusted_svid'));
    const own = await svidOf(ownCa, 'spiffe://corp.example/agent/a');
    expect(validateX509Svid(own, bundles, new Date()).id.trustDomain).toBe('corp.example');
    const crossed = await svidOf(ownCa, 'spiffe://other.example/agent/a');
    expect(() => validateX509Svid(crossed, bundles, new Date())).toThrow(refusal('untrusted_svid'));
    expect(() => bundles.authoritiesOf('third.example')).toThrow(refusal('trust_domain_unknown'));
  });

  it('must have a certificate of the public authorities, for its host', async () => {
    const stranger = await Endpoint.start(ownCa);
    stranger.gives(bundleOf(otherCa));
    await expect(fetchBundle(web(stranger.url), others)).rejects.toThrow(
      refusal('bundle_endpoint_unavailable'),
    );
    const elsewhere = await Endpoint.start(webCa, { dnsNames: ['elsewhere.example'] });
    elsewhere.gives(bundleOf(otherCa));
    await expect(fetchBundle(web(elsewhere.url), others)).rejects.toThrow(
      refusal('bundle_endpoint_unavailable'),
    );
    expect([stranger.asked, elsewhere.asked]).toEqual([0, 0]);
  });

  it.each([
    ['http://localhost/bundle'],
    ['https://user@localhost/bundle'],
    ['https://user:secret@localhost/bundle'],
    ['file:///bundle'],
    ['bundle'],
    [''],
  ])('is not %j (§5.2.1.1)', async (url) => {
    await expect(fetchBundle(web(url), others)).rejects.toThrow(refusal('bundle_endpoint_malformed'));
    await expect(open(web(url))).rejects.toThrow(refusal('bundle_endpoint_malformed'));
  });

  it('may lead to another place that is as good, and is asked again itself (§5.2.1.4)', async () => {
    const first = await Endpoint.start(webCa);
    const second = await Endpoint.start(webCa);
    second.gives(bundleOf(otherCa));
    first.answer = (response) => response.writeHead(302, { location: second.url }).end();
    expect(parseBundleDocument(await fetchBundle(web(first.url), others)).x509Authorities).toHaveLength(1);
    await fetchBundle(web(first.url), others);
    expect([first.asked, second.asked]).toEqual([2, 2]);
  });

  it('may not lead to http, to a stranger, or round in a circle', async () => {
    const first = await Endpoint.start(webCa);
    const stranger = await Endpoint.start(ownCa);
    stranger.gives(bundleOf(otherCa));
    for (const [location, code] of [
      ['http://localhost/bundle', 'bundle_endpoint_malformed'],
      ['https://user@localhost/bundle', 'bundle_endpoint_malformed'],
      [stranger.url, 'bundle_endpoint_unavailable'],
      ['/bundle', 'bundle_endpoint_unavailable'],
    ] as const) {
      first.answer = (response) => response.writeHead(302, { location }).end();
      await expect(fetchBundle(web(first.url), others)).rejects.toThrow(refusal(code));
    }
    expect(stranger.asked).toBe(0);
  });
});

describe('a bundle endpoint with https_spiffe (SPIFFE Federation §5.2.2)', () => {
  const bootstrap = () =>
    TrustBundleSet.of({
      'corp.example': parsePemCertificates(ownCa.certificatePem),
      'other.example': parsePemCertificates(otherCa.certificatePem),
    });

  it('is whoever has that SPIFFE ID, whatever its host is called', async () => {
    const endpoint = await Endpoint.start(otherCa, { dnsNames: ['elsewhere.example'] });
    endpoint.gives(bundleOf(otherCa));
    await expect(fetchBundle(spiffe(endpoint.url), bootstrap())).resolves.toContain('x509-svid');
  });

  it('is nobody else, and is not even asked then', async () => {
    const endpoint = await Endpoint.start(otherCa, { spiffeId: 'spiffe://other.example/agent/a' });
    endpoint.gives(bundleOf(otherCa));
    await expect(fetchBundle(spiffe(endpoint.url), bootstrap())).rejects.toThrow(
      refusal('peer_not_authorized'),
    );
    const forger = await Endpoint.start(ownCa);
    await expect(fetchBundle(spiffe(forger.url), bootstrap())).rejects.toThrow(refusal('untrusted_svid'));
    const public_ = await Endpoint.start(webCa);
    await expect(fetchBundle(spiffe(public_.url), bootstrap())).rejects.toThrow(refusal('untrusted_svid'));
    await expect(fetchBundle(spiffe(endpoint.url), others)).rejects.toThrow(refusal('trust_domain_unknown'));
    expect([endpoint.asked, forger.asked, public_.asked]).toEqual([0, 0, 0]);
  });

  it('that serves its own trust domain is verified by the latest bundle, so that its keys can change', async () => {
    const newCa = await createDevelopmentCa('other.example', 1);
    const old = await Endpoint.start(otherCa);
    const both = bundleOf(newCa, { spiffe_sequence: 2 });
    both.keys.push(...bundleOf(otherCa).keys);
    old.gives(both);
    const { bundles, errors } = await open(spiffe(old.url), { others: bootstrap(), folder });
    expect(bundles.authoritiesOf('other.example')).toHaveLength(2);
    bundles.close();
    // It comes back with a certificate of the new authority, and a bundle without the old one.
    const renewed = await Endpoint.start(newCa);
    renewed.gives(bundleOf(newCa, { spiffe_sequence: 3 }));
    const later = await open(spiffe(renewed.url), { others: bootstrap(), folder });
    expect(later.bundles.authoritiesOf('other.example')).toHaveLength(1);
    later.bundles.close();
    // Now the old one is a stranger, though the bundle to begin with had it.
    const { bundles: last, errors: refused } = await open(spiffe(old.url), { others: bootstrap(), folder });
    expect(refused).toContainEqual(refusal('untrusted_svid'));
    expect(last.authoritiesOf('other.example')).toHaveLength(1);
    expect(errors).toEqual([]);
  });

  it('of another trust domain is verified by the bundle of that one', async () => {
    const endpoint = await Endpoint.start(ownCa, { spiffeId: 'spiffe://corp.example/federation' });
    endpoint.gives(bundleOf(otherCa));
    const { bundles } = await open(spiffe(endpoint.url, 'spiffe://corp.example/federation'));
    expect(bundles.authoritiesOf('other.example')).toHaveLength(1);
  });
});

describe('federated bundles (SPIFFE Federation §4, §6.2)', () => {
  let endpoint: Endpoint;
  let newCa: DevelopmentCa;
  beforeEach(async () => {
    endpoint = await Endpoint.start(webCa);
    newCa = await createDevelopmentCa('other.example', 1);
  });
  const knownOf = (bundles: FederatedBundles) => {
    try {
      return bundles.authoritiesOf('other.example');
    } catch {
      return undefined;
    }
  };
  const isNew = (bundles: FederatedBundles) => {
    const [der] = parsePemCertificates(newCa.certificatePem);
    return bundles.authoritiesOf('other.example').some((one) => Buffer.from(one.der).equals(der!));
  };

  it('follow the endpoint as often as the bundle hints', async () => {
    endpoint.gives(bundleOf(otherCa, { spiffe_sequence: 1, spiffe_refresh_hint: 0 }));
    const { bundles } = await open(web(endpoint.url), { refreshSeconds: { least: 0.05 } });
    const before = bundles.authoritiesOf('other.example');
    await until(() => endpoint.asked >= 3);
    expect(bundles.authoritiesOf('other.example')).toBe(before);
    endpoint.gives(bundleOf(newCa, { spiffe_sequence: 2, spiffe_refresh_hint: 3600 }));
    await until(() => isNew(bundles));
    const { asked } = endpoint;
    await sleep(300);
    expect(endpoint.asked).toBe(asked);
  });

  it('never go back, nor change without a new number (§4.2, Trust Domain and Bundle §4.1.1)', async () => {
    endpoint.gives(bundleOf(otherCa, { spiffe_sequence: 5 }));
    const { bundles, errors } = await open(web(endpoint.url));
    for (const spiffe_sequence of [4, 5]) {
      endpoint.gives(bundleOf(newCa, { spiffe_sequence }));
      errors.length = 0;
      await until(() => errors.length >= 2);
      expect(errors[0]).toEqual(refusal('bundle_malformed'));
      expect(isNew(bundles)).toBe(false);
    }
    endpoint.gives(bundleOf(newCa, { spiffe_sequence: 6 }));
    await until(() => isNew(bundles));
  });

  it('count with 64 bits', async () => {
    const numbered = (ca: DevelopmentCa, number: string) =>
      JSON.stringify(bundleOf(ca, { spiffe_sequence: 0 })).replace(
        '"spiffe_sequence":0',
        `"spiffe_sequence":${number}`,
      );
    endpoint.gives(numbered(otherCa, '18446744073709551614'));
    const { bundles } = await open(web(endpoint.url));
    endpoint.gives(numbered(newCa, '18446744073709551615'));
    await until(() => isNew(bundles));
  });

  it('without a number are taken as they come', async () => {
    endpoint.gives(bundleOf(otherCa));
    const { bundles } = await open(web(endpoint.url));
    endpoint.gives(bundleOf(newCa));
    await until(() => isNew(bundles));
  });

  it.each<[string, (response: ServerResponse) => void]>([
    ['fails', (response) => response.writeHead(500).end()],
    ['gives nothing', (response) => response.writeHead(200).end()],
    ['gives an empty bundle', (response) => response.writeHead(200).end('{"keys":[]}')],
    [
      'gives keys of unknown types',
      (response) => response.writeHead(200).end('{"keys":[{"kty":"PQC","use":"x509-svid"}]}'),
    ],
    ['gives what is no JSON', (response) => response.writeHead(200).end('<html>')],
    ['gives what is no UTF-8', (response) => response.writeHead(200).end(Buffer.from([0xff, 0xfe]))],
    [
      'gives half a bundle',
      (response) => {
        response.writeHead(200, { 'content-length': '1000' }).write('{"keys":');
        response.destroy();
      },
    ],
    [
      'gives too much',
      (response) => {
        response.writeHead(200);
        response.write(Buffer.alloc(5 * 1024 * 1024, 32));
        response.end();
      },
    ],
    ['gives nothing for ever', () => undefined],
    [
      'gives a byte now and then',
      (response) => {
        response.writeHead(200);
        const timer = setInterval(() => response.write(' '), 50);
        response.once('close', () => {
          clearInterval(timer);
        });
      },
    ],
    ['breaks off', (response) => response.destroy()],
  ])('keep the last good one while the endpoint %s', async (_, answer) => {
    endpoint.gives(bundleOf(otherCa, { spiffe_sequence: 1 }));
    const { bundles, errors } = await open(web(endpoint.url), { timeoutMs: 500 });
    // Half a second may have been too little at first.
    const before = await found(() => knownOf(bundles), 20);
    errors.length = 0;
    endpoint.answer = answer;
    await until(() => errors.length > 0);
    expect(bundles.authoritiesOf('other.example')).toBe(before);
    endpoint.gives(bundleOf(newCa, { spiffe_sequence: 2 }));
    await until(() => isNew(bundles));
  });

  it('are none, and say so, where there never was one: within two seconds', async () => {
    const silent = createTcpServer();
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as AddressInfo;
    const silence = web(`https://localhost:${port}/`);
    const time = await bestTime(2_000, () => timed(() => open(silence, { timeoutMs: 1_500 })));
    expect(time).toBeLessThan(2_000);
    const { bundles, errors } = await open(silence, { timeoutMs: 1_500, refreshSeconds: {} });
    expect(errors).toEqual([refusal('bundle_endpoint_unavailable')]);
    expect(() => bundles.authoritiesOf('other.example')).toThrow(refusal('trust_domain_unknown'));
    silent.close();
  });

  it('outlive a restart', async () => {
    endpoint.gives(bundleOf(otherCa, { spiffe_sequence: 7 }));
    (await open(web(endpoint.url), { folder })).bundles.close();
    expect(readdirSync(folder)).toEqual(['other.example.json']);
    endpoint.answer = (response) => response.writeHead(500).end();
    const { bundles } = await open(web(endpoint.url), { folder });
    expect(bundles.authoritiesOf('other.example')).toHaveLength(1);
    bundles.close();
    // Nor does an older one come in by way of a restart.
    endpoint.gives(bundleOf(newCa, { spiffe_sequence: 6 }));
    const later = await open(web(endpoint.url), { folder });
    expect(isNew(later.bundles)).toBe(false);
    later.bundles.close();
    writeFileSync(join(folder, 'other.example.json'), 'damaged');
    endpoint.gives(bundleOf(newCa, { spiffe_sequence: 8 }));
    const last = await open(web(endpoint.url), { folder });
    expect(last.errors).toEqual([refusal('bundle_malformed')]);
    expect(isNew(last.bundles)).toBe(true);
    expect(readFileSync(join(folder, 'other.example.json'), 'utf8')).toContain('"spiffe_sequence":8');
  });

  it('have one endpoint for each trust domain', async () => {
    const endpoints = [web(endpoint.url), web(endpoint.url)];
    await expect(open(web(endpoint.url), { endpoints })).rejects.toThrow(refusal('bundle_malformed'));
    const wrong = { ...web(endpoint.url), trustDomain: 'Other.Example' };
    await expect(open(wrong)).rejects.toThrow(refusal('spiffe_id_malformed'));
    await expect(open(spiffe(endpoint.url, 'spiffe://other.example'))).rejects.toThrow(
      refusal('spiffe_id_malformed'),
    );
  });
});

describe('ATB_FEDERATION_FILE', () => {
  const openWith = (federation: unknown) => {
    const file = (name: string, content: string) => {
      const path = join(folder, name);
      writeFileSync(path, content);
      return path;
    };
    file('web.pem', webCa.certificatePem);
    const environment = new Environment({
      ATB_TRUST_BUNDLE_FILE: file('corp.example.pem', ownCa.certificatePem),
      ATB_FEDERATION_FILE: file('federation.json', JSON.stringify(federation)),
    });
    return openTrust(trustConfiguration(environment));
  };
  const common = { trust_domain: 'other.example', url: 'https://localhost/' };

  it('adds the bundles of other trust domains to those that are there', async () => {
    const endpoint = await Endpoint.start(webCa);
    endpoint.gives(bundleOf(otherCa));
    const trust = await openWith({
      endpoints: [{ ...common, url: endpoint.url, profile: 'https_web', ca_file: 'web.pem' }],
      folder: 'kept',
    });
    const svid = await svidOf(otherCa, 'spiffe://other.example/agent/a');
    expect(validateX509Svid(svid, trust, new Date()).id.trustDomain).toBe('other.example');
    const own = await svidOf(ownCa, 'spiffe://corp.example/agent/a');
    expect(validateX509Svid(own, trust, new Date()).id.trustDomain).toBe('corp.example');
    const forged = await svidOf(otherCa, 'spiffe://corp.example/agent/a');
    expect(() => validateX509Svid(forged, trust, new Date())).toThrow(refusal('untrusted_svid'));
    expect(readdirSync(join(folder, 'kept'))).toEqual(['other.example.json']);
    trust.close();
  });

  it.each([
    ['no endpoints', { endpoints: [] }],
    ['an unknown profile', { endpoints: [{ ...common, profile: 'http' }] }],
    ['nobody who must be there', { endpoints: [{ ...common, profile: 'https_spiffe' }] }],
    ['a slip of the pen', { endpoints: [{ ...common, profile: 'https_web', ca: 'web.pem' }] }],
    ['a URL that is not https', { endpoints: [{ ...common, profile: 'https_web', url: 'http://a/' }] }],
    [
      'a trust domain that is none',
      { endpoints: [{ ...common, profile: 'https_web', trust_domain: 'Other' }] },
    ],
  ])('with %s is no configuration', async (_, federation) => {
    await expect(openWith(federation)).rejects.toThrow(refusal('configuration_invalid'));
  });
});
