import { createHash, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { calculateJwkThumbprint } from 'jose';
import { signDpopProof, verifyDpopProof } from '../../adapters/jose/dpop';

const NOW = new Date('2026-06-01T12:00:00Z');
const EPOCH = NOW.getTime() / 1000;
const after = (seconds: number) => new Date(NOW.getTime() + seconds * 1000);
const EXPECTED = { method: 'POST', url: 'https://localhost:8443/issue', token: 'a.jwt.svid', now: NOW };
const JTI = 'proof-0123456789abcdef';
const invalid: Error = expect.objectContaining({ code: 'dpop_proof_invalid' });

const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwkOf = (key: KeyObject) => key.export({ format: 'jwk' });
const ath = (token: string) => createHash('sha256').update(token).digest('base64url');
const HEADER = { alg: 'ES256', typ: 'dpop+jwt', jwk: jwkOf(p256.publicKey) };
const CLAIMS = { htm: 'POST', htu: EXPECTED.url, iat: EPOCH, jti: JTI, ath: ath(EXPECTED.token) };

/** A true signature over whatever. */
function signed(header: object, claims: object, key = p256.privateKey): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const input = `${part(header)}.${part(claims)}`;
  const signature = sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' });
  return `${input}.${signature.toString('base64url')}`;
}

describe('a DPoP proof (RFC 9449)', () => {
  it.each([
    ['P-256', generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey],
    ['P-384', generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey],
    ['Ed25519', generateKeyPairSync('ed25519').privateKey],
  ])('of a %s key says which key it was, by its RFC 7638 thumbprint', async (_, privateKey) => {
    const proof = verifyDpopProof(await signDpopProof(privateKey, EXPECTED, JTI), EXPECTED);
    expect(proof).toEqual({
      jkt: await calculateJwkThumbprint(jwkOf(createPublicKey(privateKey)) as never),
      jti: JTI,
      issuedAt: NOW,
      expiresAt: after(60),
    });
  });

  it('is for the URL without its query, in any of its spellings', () => {
    expect(verifyDpopProof(signed(HEADER, CLAIMS), { ...EXPECTED, url: `${EXPECTED.url}?wait=3` }).jti).toBe(
      JTI,
    );
    const spelled = { ...CLAIMS, htu: 'HTTPS://LOCALHOST:8443/issue' };
    expect(verifyDpopProof(signed(HEADER, spelled), EXPECTED).jti).toBe(JTI);
  });

  it('needs no ath where no token comes with it (RFC 9449 §5)', () => {
    const { method, url, now } = EXPECTED;
    const claims = { ...CLAIMS, ath: undefined };
    expect(verifyDpopProof(signed(HEADER, claims), { method, url, now }).jti).toBe(JTI);
  });

  it.each([
    ['another method', CLAIMS, { ...EXPECTED, method: 'GET' }],
    ['another path', CLAIMS, { ...EXPECTED, url: 'https://localhost:8443/plan' }],
    ['another host', CLAIMS, { ...EXPECTED, url: 'https://evil.example:8443/issue' }],
    ['another port', CLAIMS, { ...EXPECTED, url: 'https://localhost/issue' }],
    ['another token', CLAIMS, { ...EXPECTED, token: 'another.jwt.svid' }],
    ['a minute ago', CLAIMS, { ...EXPECTED, now: after(61) }],
    ['a time to come', CLAIMS, { ...EXPECTED, now: after(-11) }],
    ['a clock that tells no time', CLAIMS, { ...EXPECTED, now: new Date(Number.NaN) }],
    ['no token, though one comes with it', { ...CLAIMS, ath: undefined }, EXPECTED],
    ['no method', { ...CLAIMS, htm: undefined }, EXPECTED],
    ['a URL that is none', { ...CLAIMS, htu: '/issue' }, EXPECTED],
    ['a URL with a user in it', { ...CLAIMS, htu: 'https://a@localhost:8443/issue' }, EXPECTED],
    ['a time as text', { ...CLAIMS, iat: String(EPOCH) }, EXPECTED],
    ['no time', { ...CLAIMS, iat: undefined }, EXPECTED],
    ['a jti that could be guessed', { ...CLAIMS, jti: '1' }, EXPECTED],
    ['no jti', { ...CLAIMS, jti: undefined }, EXPECTED],
  ])('is refused for %s', (_, claims, expected) => {
    expect(() => verifyDpopProof(signed(HEADER, claims), expected)).toThrow(invalid);
  });

  it.each([
    ['with the private key in it', { ...HEADER, jwk: jwkOf(p256.privateKey) }],
    ['with no key', { alg: 'ES256', typ: 'dpop+jwt' }],
    ['with a symmetric key', { ...HEADER, jwk: { kty: 'oct', k: 'c2VjcmV0' } }],
    ['with a key that is somewhere else', { ...HEADER, jku: 'https://evil.example/jwks' }],
    ['with a certificate beside the key', { ...HEADER, jwk: { ...HEADER.jwk, x5c: ['AA=='] } }],
    ['with a key off its curve', { ...HEADER, jwk: { ...HEADER.jwk, y: HEADER.jwk.x } }],
    ['of another type', { ...HEADER, typ: 'JWT' }],
    ['with another algorithm', { ...HEADER, alg: 'ES384' }],
    ['with none', { ...HEADER, alg: 'none' }],
    [
      "with somebody else's key",
      { ...HEADER, jwk: jwkOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey) },
    ],
  ])('%s is refused', (_, header) => {
    expect(() => verifyDpopProof(signed(header, CLAIMS), EXPECTED)).toThrow(invalid);
  });

  it('that was altered is refused', () => {
    const [header = '', , signature = ''] = signed(HEADER, CLAIMS).split('.');
    const other = Buffer.from(JSON.stringify({ ...CLAIMS, htm: 'GET' })).toString('base64url');
    expect(() => verifyDpopProof(`${header}.${other}.${signature}`, { ...EXPECTED, method: 'GET' })).toThrow(
      invalid,
    );
  });
});
