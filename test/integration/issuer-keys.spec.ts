import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { JwksSource } from '../../adapters/jose/jwks-source';
import type { JwksSourceOptions } from '../../adapters/jose/jwks-source';
import { loadMandateKeySet, writeNewMandateKeySet } from '../../adapters/jose/mandate-keys';
import type { MandateKeySet } from '../../adapters/jose/mandate-keys';
import { createDevelopmentCa, issueSvid } from '../../adapters/spiffe/development-ca';
import type { MandateClaims } from '../../domain/mandate';
import { eventually } from '../support/eventually';

const PARTIES = { issuer: 'spiffe://corp.example/agentauth', audience: 'spiffe://corp.example/broker' };
const OFTEN: JwksSourceOptions = { refreshMs: 50, maxAgeMs: 1_000, cooldownMs: 10_000 };
const SELDOM: JwksSourceOptions = { refreshMs: 3_600_000, maxAgeMs: 3_600_000, cooldownMs: 300 };

let directory: string;
let caFile: string;
let server: Server;
let url: string;
let keys: MandateKeySet;
let other: MandateKeySet;
/** What the issuer's server gives; null: it answers 503. */
let served: unknown;
let readings = 0;
let source: JwksSource | undefined;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'atb-issuer-keys-'));
  keys = await loadMandateKeySet(await writeNewMandateKeySet(join(directory, 'keys')));
  other = await loadMandateKeySet(await writeNewMandateKeySet(join(directory, 'other')));
  const ca = await createDevelopmentCa('corp.example', 1);
  caFile = join(directory, 'ca.pem');
  await writeFile(caFile, ca.certificatePem);
  const { chainPem, privateKeyPem } = await issueSvid(ca, {
    ...{ spiffeId: PARTIES.issuer, ttlHours: 1, dnsNames: ['localhost'] },
  });
  server = createServer({ cert: chainPem, key: privateKeyPem }, (_, response) => {
    readings += 1;
    response.writeHead(served === null ? 503 : 200, { 'content-type': 'application/jwk-set+json' });
    response.end(JSON.stringify(served ?? {}));
  }).listen(0, 'localhost');
  await once(server, 'listening');
  url = `https://localhost:${(server.address() as AddressInfo).port}/keys`;
});
beforeEach(() => {
  served = keys.jwks;
  readings = 0;
});
afterEach(() => {
  source?.end();
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await rm(directory, { recursive: true, force: true });
});

const start = async (options: JwksSourceOptions) => {
  source = await JwksSource.start({ url, caFile }, options);
  return source;
};

function signed(by: MandateKeySet): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const claims: MandateClaims = {
    ...{ iss: PARTIES.issuer, aud: PARTIES.audience, sub: 'spiffe://corp.example/agent/finance-bot' },
    ...{ act: 'sap.payment.execute', con: { params: {}, limits: {} }, leg: {}, tier: 'high', pol: 'p' },
    ...{ req: 'a-request', jti: 'a-mandate', iat: now, nbf: now, exp: now + 60 },
    cnf: { 'x5t#S256': 'A'.repeat(43) },
  };
  return by.signer.sign(claims);
}

const verified = (keysOf: JwksSource, mandate: string) =>
  keysOf.verify(mandate, { ...PARTIES, now: new Date(), clockSkewSeconds: 0 }).then(
    () => 'good',
    (error: unknown) => (error as { readonly code?: string }).code,
  );

const until = (wanted: string, ask: () => Promise<unknown>) =>
  eventually(ask, (answer) => answer === wanted, 20);

const withKid = (mandate: string, kid: string) => {
  const [head = '', ...rest] = mandate.split('.');
  const header = JSON.parse(Buffer.from(head, 'base64url').toString()) as object;
  return [Buffer.from(JSON.stringify({ ...header, kid })).toString('base64url'), ...rest].join('.');
};

describe('keys that nobody knows (attack 35)', () => {
  it('cause one reading, however many they are', async () => {
    const held = await start(SELDOM);
    const mandate = await signed(keys);
    await sleep(SELDOM.cooldownMs);
    const codes = await Promise.all(
      Array.from({ length: 40_000 }, (_, index) => verified(held, withKid(mandate, `unknown-${index}`))),
    );
    expect(new Set(codes)).toEqual(new Set(['mandate_invalid']));
    // The one at the start, and one.
    expect(readings).toBe(2);
  });

  it('are known at once where they are new ones of the issuer', async () => {
    const held = await start(SELDOM);
    await sleep(SELDOM.cooldownMs);
    served = { keys: [...keys.jwks.keys, ...other.jwks.keys] };
    expect(await verified(held, await signed(other))).toBe('good');
    expect(readings).toBe(2);
  });
});

describe('a key that was withdrawn (attack 35)', () => {
  it('is trusted no more once the keys were read again', async () => {
    const held = await start(OFTEN);
    const mandate = await signed(keys);
    await until('good', () => verified(held, mandate));
    served = other.jwks;
    await until('mandate_invalid', () => verified(held, mandate));
  });

  it('is not trusted for ever where the keys cannot be read again: then nothing is', async () => {
    const held = await start(OFTEN);
    const mandate = await signed(keys);
    await until('good', () => verified(held, mandate));
    served = null;
    const failsSince = performance.now();
    let goodFor = 0;
    await until('keys_unavailable', async () => {
      const since = performance.now() - failsSince;
      const answer = await verified(held, mandate);
      if (answer === 'good') goodFor = since;
      return answer;
    });
    expect(goodFor).toBeLessThanOrEqual(OFTEN.maxAgeMs);
    served = keys.jwks;
    await until('good', () => verified(held, mandate));
  });

  it.each<[string, unknown]>([
    ['no set', {}],
    ['an empty set', { keys: [] }],
    ['something else', 'keys'],
    ['a set with a key of another kind', { keys: [{ kty: 'oct', k: 'AAAA', kid: 'x', alg: 'EdDSA' }] }],
  ])('is not kept in trust by %s, which is no reading of the keys', async (_, broken) => {
    const held = await start(OFTEN);
    const mandate = await signed(keys);
    served = broken;
    await until('keys_unavailable', () => verified(held, mandate));
  });
});
