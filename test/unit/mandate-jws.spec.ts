import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mandateOpener, openMandate, verifyMandate } from '../../adapters/jose/mandate-jws';
import type { MandateVerificationKeys } from '../../adapters/jose/mandate-keys';
import {
  importMandateJwks,
  loadMandateKeySet,
  mandateSignerFromPkcs8,
  publicJwkOf,
  writeNewMandateKeySet,
} from '../../adapters/jose/mandate-keys';
import type { Ed25519MandateSigner } from '../../adapters/jose/mandate-signer';
import { sha256Base64url } from '../../domain/digest';
import type { MandateClaims } from '../../domain/mandate';

const NOW = new Date('2026-06-01T12:00:00Z');
const at = (seconds: number) => new Date(NOW.getTime() + seconds * 1000);
const EPOCH = NOW.getTime() / 1000;
const CLAIMS: MandateClaims = {
  iss: 'https://agentauth.corp.example',
  aud: 'spiffe://corp.example/broker',
  sub: 'spiffe://corp.example/agent/finance-bot',
  act: 'sap.payment.execute',
  con: { params: { amount: 1000 }, limits: { amount: 5000 } },
  leg: { jurisdiction: 'CH' },
  tier: 'high',
  pol: '0123456789abcdef',
  req: 'request-0001',
  jti: 'mandate-0123456789',
  iat: EPOCH,
  nbf: EPOCH,
  exp: EPOCH + 120,
  cnf: { 'x5t#S256': sha256Base64url('certificate') },
};
const PARTIES = { issuer: CLAIMS.iss, audience: CLAIMS.aud };
const invalid: Error = expect.objectContaining({ code: 'mandate_invalid' });
const misconfigured: Error = expect.objectContaining({ code: 'configuration_invalid' });

const pem = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }).toString();
const { privateKey } = generateKeyPairSync('ed25519');
let signer: Ed25519MandateSigner;
let keys: MandateVerificationKeys;
let folder: string;

beforeAll(async () => {
  signer = await mandateSignerFromPkcs8(pem(privateKey));
  keys = importMandateJwks({ keys: [await publicJwkOf(signer.publicKey)] });
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'atb-keys-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** A true signature by the mandate key, over whatever. */
function signed(header: object, claims: unknown): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const input = `${part(header)}.${part(claims)}`;
  return `${input}.${sign(null, Buffer.from(input), privateKey).toString('base64url')}`;
}

describe('a mandate', () => {
  it('verifies, and says what was signed', async () => {
    const compact = await signer.sign(CLAIMS);
    expect(verifyMandate(compact, keys, { ...PARTIES, now: NOW })).toEqual(CLAIMS);
    expect(await mandateOpener(keys, PARTIES).open(compact)).toEqual(CLAIMS);
  });

  it('may be bound to a key instead of a certificate (RFC 9449 §6.1)', async () => {
    const bound = { ...CLAIMS, cnf: { jkt: sha256Base64url('key') } };
    expect(openMandate(await signer.sign(bound), keys, PARTIES).cnf).toEqual({ jkt: sha256Base64url('key') });
  });

  it('signed again is the same bytes, whatever the order of its claims', async () => {
    const reversed = Object.fromEntries(Object.entries(CLAIMS).reverse()) as unknown as MandateClaims;
    expect(await signer.sign(reversed)).toBe(await signer.sign(CLAIMS));
  });

  it('names its key by the RFC 7638 thumbprint, its algorithm and its type', async () => {
    const [head] = (await signer.sign(CLAIMS)).split('.');
    expect(JSON.parse(Buffer.from(head!, 'base64url').toString())).toEqual({
      alg: 'EdDSA',
      typ: 'poa+jwt',
      kid: signer.kid,
    });
    const { x } = signer.publicKey.export({ format: 'jwk' });
    expect(signer.kid).toBe(sha256Base64url(`{"crv":"Ed25519","kty":"OKP","x":"${x}"}`));
  });

  it('is good from nbf until just before exp, give or take the skew that is told', async () => {
    const compact = await signer.sign(CLAIMS);
    const verifyAt =
      (now: Date, clockSkewSeconds = 0) =>
      () =>
        verifyMandate(compact, keys, { ...PARTIES, now, clockSkewSeconds });
    expect(verifyAt(at(119.9))).not.toThrow();
    expect(verifyAt(at(120))).toThrow(expect.objectContaining({ code: 'mandate_lapsed' }) as Error);
    expect(verifyAt(at(125), 10)).not.toThrow();
    expect(verifyAt(at(-1))).toThrow(invalid);
    expect(verifyAt(at(-5), 10)).not.toThrow();
    expect(verifyAt(new Date(NaN))).toThrow(invalid);
    expect(() => openMandate(compact, keys, PARTIES)).not.toThrow();
  });

  it('is refused for another issuer or audience', async () => {
    const compact = await signer.sign(CLAIMS);
    expect(() => openMandate(compact, keys, { ...PARTIES, issuer: 'https://other.example' })).toThrow(
      invalid,
    );
    expect(() => openMandate(compact, keys, { ...PARTIES, audience: 'spiffe://corp.example' })).toThrow(
      invalid,
    );
  });

  it('is refused when changed, or signed by another key under our kid', async () => {
    const compact = await signer.sign(CLAIMS);
    const [head, payload, signature] = compact.split('.');
    const other = Buffer.from(JSON.stringify({ ...CLAIMS, act: 'other' })).toString('base64url');
    expect(() => openMandate(`${head}.${other}.${signature}`, keys, PARTIES)).toThrow(invalid);
    const forged = sign(null, Buffer.from(`${head}.${payload}`), generateKeyPairSync('ed25519').privateKey);
    expect(() => openMandate(`${head}.${payload}.${forged.toString('base64url')}`, keys, PARTIES)).toThrow(
      invalid,
    );
  });

  it.each(['none', 'HS256', 'ES256', 'Ed25519', 'eddsa', '', null, ['EdDSA']])(
    'is refused with alg %j',
    (alg) => {
      expect(() =>
        openMandate(signed({ alg, typ: 'poa+jwt', kid: signer.kid }, CLAIMS), keys, PARTIES),
      ).toThrow(invalid);
    },
  );

  it.each(['unknown', '', null, '__proto__'])('is refused with kid %j', (kid) => {
    expect(() => openMandate(signed({ alg: 'EdDSA', typ: 'poa+jwt', kid }, CLAIMS), keys, PARTIES)).toThrow(
      invalid,
    );
  });

  it.each<readonly [string, unknown]>([
    ...Object.keys(CLAIMS).map((claim) => [`no ${claim}`, { ...CLAIMS, [claim]: undefined }] as const),
    ...Object.keys(CLAIMS).map((claim) => [`${claim} null`, { ...CLAIMS, [claim]: null }] as const),
    ...Object.keys(CLAIMS).map((claim) => [`${claim} a list`, { ...CLAIMS, [claim]: [] }] as const),
    ['an unknown claim', { ...CLAIMS, scope: 'all' }],
    ['several audiences', { ...CLAIMS, aud: [CLAIMS.aud] }],
    ['an unknown tier', { ...CLAIMS, tier: 'none' }],
    ['more in con', { ...CLAIMS, con: { ...CLAIMS.con, bypass: true } }],
    ['con without limits', { ...CLAIMS, con: { params: {} } }],
    ['an exp as a text', { ...CLAIMS, exp: '9999999999' }],
    ['an exp before its nbf', { ...CLAIMS, exp: EPOCH - 1 }],
    ['two confirmations', { ...CLAIMS, cnf: { ...CLAIMS.cnf, jkt: sha256Base64url('key') } }],
    ['no confirmation', { ...CLAIMS, cnf: {} }],
    ['a key thumbprint that is too short', { ...CLAIMS, cnf: { jkt: 'AAAA' } }],
    ['a thumbprint that is too short', { ...CLAIMS, cnf: { 'x5t#S256': 'AAAA' } }],
  ])('is refused with %s', (_, claims) => {
    const compact = signed({ alg: 'EdDSA', typ: 'poa+jwt', kid: signer.kid }, claims);
    expect(() => openMandate(compact, keys, PARTIES)).toThrow(invalid);
  });
});

describe('the mandate keys', () => {
  it('are made once, are for their owner only, and sign', async () => {
    const path = await writeNewMandateKeySet(folder);
    const keySet = await loadMandateKeySet(path);
    expect(statSync(join(folder, `mandate-key-${keySet.signer.kid}.pem`)).mode & 0o777).toBe(0o600);
    const compact = await keySet.signer.sign(CLAIMS);
    expect(verifyMandate(compact, importMandateJwks(keySet.jwks), { ...PARTIES, now: NOW })).toEqual(CLAIMS);
    await expect(writeNewMandateKeySet(folder)).rejects.toMatchObject({ code: 'EEXIST' });
  });

  it('are published without any private part', async () => {
    const { jwks } = await loadMandateKeySet(await writeNewMandateKeySet(folder));
    expect(jwks.keys.map((jwk) => Object.keys(jwk).sort())).toEqual([
      ['alg', 'crv', 'kid', 'kty', 'use', 'x'],
    ]);
  });

  async function keySetFile(entries: readonly object[]): Promise<string> {
    writeFileSync(join(folder, 'active.pem'), pem(privateKey));
    const path = join(folder, 'keys.json');
    writeFileSync(path, JSON.stringify({ keys: entries }));
    return Promise.resolve(path);
  }
  const active = () => ({ kid: signer.kid, status: 'active', private_key_file: 'active.pem' });
  const retired = async () => {
    const jwk = await publicJwkOf(generateKeyPairSync('ed25519').publicKey);
    return { kid: jwk.kid, status: 'verify_only', public_jwk: jwk };
  };

  it('that only verify need no private part, verify still, and never sign (attack 14)', async () => {
    const before = await retired();
    const keySet = await loadMandateKeySet(await keySetFile([before, active()]));
    expect(keySet.signer.kid).toBe(signer.kid);
    expect(keySet.jwks.keys.map(({ kid }) => kid)).toEqual([before.kid, signer.kid]);
  });

  it('without an active one do not load', async () => {
    await expect(loadMandateKeySet(await keySetFile([await retired()]))).rejects.toThrow(misconfigured);
    await expect(loadMandateKeySet(await keySetFile([]))).rejects.toThrow(misconfigured);
  });

  it.each([
    ['two active keys', () => [active(), active()]],
    [
      'a key that only verifies, with its private part',
      () => [active(), { ...active(), status: 'verify_only' }],
    ],
    ['a kid that is not the thumbprint', () => [{ ...active(), kid: 'mandates-2026' }]],
    ['an unknown status', () => [{ ...active(), status: 'Active' }]],
    ['an unknown member', () => [{ ...active(), valid_until: 1 }]],
    ['a missing file', () => [{ ...active(), private_key_file: 'missing.pem' }]],
  ])('do not load with %s', async (_, entries) => {
    await expect(loadMandateKeySet(await keySetFile(entries()))).rejects.toThrow(misconfigured);
  });

  it('that only verify are refused with a private part in the JWK', async () => {
    const jwk = { ...(await publicJwkOf(signer.publicKey)), d: 'AAAA' };
    const entry = { kid: jwk.kid, status: 'verify_only', public_jwk: jwk };
    await expect(loadMandateKeySet(await keySetFile([entry, active()]))).rejects.toThrow(misconfigured);
    expect(() => importMandateJwks({ keys: [jwk] })).toThrow(misconfigured);
  });

  it('are never a public key, another type of key, or something else', async () => {
    const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }).toString();
    const p256 = pem(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
    for (const wrong of [spki, p256, '', readFileSync(__filename, 'utf8')]) {
      await expect(mandateSignerFromPkcs8(wrong)).rejects.toThrow(misconfigured);
    }
  });

  it('are refused as a JWK Set with two of one kid, none, or another algorithm', async () => {
    const jwk = await publicJwkOf(signer.publicKey);
    for (const wrong of [
      { keys: [jwk, jwk] },
      { keys: [] },
      {},
      null,
      { keys: [{ ...jwk, alg: 'ES256' }] },
      { keys: [{ ...jwk, alg: undefined }] },
      { keys: [{ ...jwk, use: 'enc' }] },
      { keys: [{ ...jwk, kid: '' }] },
      { keys: [{ ...jwk, x: `${jwk.x}A` }] },
    ]) {
      expect(() => importMandateJwks(wrong)).toThrow(misconfigured);
    }
  });
});
