import { createHmac, createPrivateKey, generateKeyPairSync, sign, X509Certificate } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { openVerdict, signVerdict, verdictOpener } from '../../adapters/jose/verdict-statement';
import { createDevelopmentCa, issueSvid } from '../../adapters/spiffe/development-ca';
import type { SvidKeyType } from '../../adapters/spiffe/development-ca';
import { sha256Base64url } from '../../domain/digest';
import type { VerdictClaims } from '../../domain/verdict';

const CLAIMS: VerdictClaims = {
  req: 'request-0001',
  dig: sha256Base64url('{}'),
  verdict: 'approve',
  role: 'compliance',
  reason: 'checked the invoice: Zürich, 1 000 €',
  attests: ['second_channel_verified'],
  iat: 1_790_000_000,
  jti: '0123456789abcdef',
};
const malformed: Error = expect.objectContaining({ code: 'verdict_malformed' });
const forged: Error = expect.objectContaining({ code: 'verdict_signature_invalid' });

interface Signatory {
  key: KeyObject;
  chain: Buffer[];
}

async function signatory(keyType: SvidKeyType): Promise<Signatory> {
  const ca = await createDevelopmentCa('corp.example', 1);
  const svid = await issueSvid(ca, { spiffeId: 'spiffe://corp.example/person/bob', ttlHours: 1, keyType });
  return { key: createPrivateKey(svid.privateKeyPem), chain: [new X509Certificate(svid.chainPem).raw] };
}

let bob: Signatory;
beforeAll(async () => {
  bob = await signatory('P-256');
});

/** A statement with a true signature by Bob, whatever it says. */
function signedByBob(header: object, claims: unknown, digest = 'sha256'): string {
  const part = (value: unknown) =>
    Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
  const input = `${part(header)}.${part(claims)}`;
  const signature = sign(digest, Buffer.from(input), { key: bob.key, dsaEncoding: 'ieee-p1363' });
  return `${input}.${signature.toString('base64url')}`;
}

function header(): { alg: string; typ: string; x5c: unknown } {
  return { alg: 'ES256', typ: 'poa-verdict+jwt', x5c: bob.chain.map((der) => der.toString('base64')) };
}

describe('a signed verdict', () => {
  it.each(['P-256', 'P-384', 'Ed25519'] as const)(
    'says after signing with %s what was signed',
    async (keyType) => {
      const { key, chain } = await signatory(keyType);
      const signed = await verdictOpener.open(await signVerdict(key, chain, CLAIMS));
      expect(signed).toEqual({ claims: CLAIMS, chain: chain.map((der) => der.toString('base64')) });
    },
  );

  it('is not signed with a key that is not the one of the certificate', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    await expect(signVerdict(privateKey, bob.chain, CLAIMS)).rejects.toMatchObject({
      code: 'configuration_invalid',
    });
    await expect(signVerdict(bob.key, [], CLAIMS)).rejects.toMatchObject({ code: 'configuration_invalid' });
  });

  it('is not signed where nobody would accept it', async () => {
    await expect(signVerdict(bob.key, bob.chain, { ...CLAIMS, jti: 'short' })).rejects.toThrow(malformed);
  });

  it('is refused when its content was changed after signing', async () => {
    const [head, , signature] = (await signVerdict(bob.key, bob.chain, CLAIMS)).split('.');
    const other = Buffer.from(JSON.stringify({ ...CLAIMS, verdict: 'reject' })).toString('base64url');
    expect(() => openVerdict(`${head}.${other}.${signature}`)).toThrow(forged);
  });

  it('is refused when it carries the certificate of somebody else', async () => {
    const carol = await signatory('P-256');
    const x5c = carol.chain.map((der) => der.toString('base64'));
    expect(() => openVerdict(signedByBob({ ...header(), x5c }, CLAIMS))).toThrow(forged);
  });

  it('is refused by the port as a rejection', async () => {
    await expect(verdictOpener.open('')).rejects.toThrow(malformed);
  });

  it.each([
    ['alg none', () => ({ ...header(), alg: 'none' })],
    ['the alg of another curve', () => ({ ...header(), alg: 'ES384' })],
    ['a symmetric alg', () => ({ ...header(), alg: 'HS256' })],
    ['alg EdDSA for an EC key', () => ({ ...header(), alg: 'EdDSA' })],
    ['a jwk beside the certificate', () => ({ ...header(), jwk: {} })],
    ['a jku beside the certificate', () => ({ ...header(), jku: 'https://keys.example/jwks' })],
    ['an x5u beside the certificate', () => ({ ...header(), x5u: 'https://keys.example/chain' })],
    ['crit', () => ({ ...header(), crit: ['exp'] })],
    ['an empty chain', () => ({ ...header(), x5c: [] })],
    ['a chain that is a text', () => ({ ...header(), x5c: bob.chain[0]!.toString('base64') })],
    ['a chain in base64url', () => ({ ...header(), x5c: [bob.chain[0]!.toString('base64url')] })],
    ['a chain in PEM', () => ({ ...header(), x5c: [new X509Certificate(bob.chain[0]!).toString()] })],
    ['a chain of something else', () => ({ ...header(), x5c: ['AAAA'] })],
    ['a chain of nine', () => ({ ...header(), x5c: Array(9).fill(bob.chain[0]!.toString('base64')) })],
    ['the typ of a mandate', () => ({ ...header(), typ: 'poa+jwt' })],
  ])('is refused with %s', (_, wrongHeader) => {
    expect(() => openVerdict(signedByBob(wrongHeader(), CLAIMS))).toThrow(malformed);
  });

  it.each(['pem', 'der'] as const)(
    'is refused with HS256 and the public key as its secret, in %s',
    (format) => {
      const { publicKey } = new X509Certificate(bob.chain[0]!);
      const spki =
        format === 'pem'
          ? publicKey.export({ type: 'spki', format })
          : publicKey.export({ type: 'spki', format });
      const encoded = [{ ...header(), alg: 'HS256' }, CLAIMS].map((part) =>
        Buffer.from(JSON.stringify(part)).toString('base64url'),
      );
      const input = encoded.join('.');
      const mac = createHmac('sha256', spki).update(input).digest('base64url');
      expect(() => openVerdict(`${input}.${mac}`)).toThrow(malformed);
    },
  );

  it('is accepted without what is wrong in these', () => {
    expect(openVerdict(signedByBob(header(), CLAIMS)).claims).toEqual(CLAIMS);
  });

  it.each<readonly [string, unknown]>([
    ...Object.keys(CLAIMS).map((claim) => [`no ${claim}`, { ...CLAIMS, [claim]: undefined }] as const),
    ...Object.keys(CLAIMS).map((claim) => [`${claim} null`, { ...CLAIMS, [claim]: null }] as const),
    ...Object.keys(CLAIMS).map((claim) => [`${claim} an object`, { ...CLAIMS, [claim]: {} }] as const),
    ['an unknown claim', { ...CLAIMS, approver: 'spiffe://corp.example/person/erin' }],
    ['an empty req', { ...CLAIMS, req: '' }],
    ['a digest in hex', { ...CLAIMS, dig: 'ab'.repeat(32) }],
    ['a shorter digest', { ...CLAIMS, dig: CLAIMS.dig.slice(0, -2) }],
    ['a verdict in other case', { ...CLAIMS, verdict: 'Approve' }],
    ['an unknown verdict', { ...CLAIMS, verdict: 'maybe' }],
    ['a blank role', { ...CLAIMS, role: ' ' }],
    ['a role with a trailing blank', { ...CLAIMS, role: 'compliance ' }],
    ['a reason that is too long', { ...CLAIMS, reason: 'a'.repeat(2001) }],
    ['attests as a text', { ...CLAIMS, attests: 'second_channel_verified' }],
    ['a fact twice', { ...CLAIMS, attests: ['identity_verified', 'identity_verified'] }],
    ['a fact that is no name', { ...CLAIMS, attests: [true] }],
    ['an iat in a fraction', { ...CLAIMS, iat: 1.5 }],
    ['an iat as a text', { ...CLAIMS, iat: '1790000000' }],
    ['a negative iat', { ...CLAIMS, iat: -1 }],
    ['a short jti', { ...CLAIMS, jti: 'a'.repeat(15) }],
    ['a long jti', { ...CLAIMS, jti: 'a'.repeat(129) }],
    ['an odd jti', { ...CLAIMS, jti: 'a'.repeat(16) + '\n' }],
    ['a claim twice', JSON.stringify(CLAIMS).replace('{', '{"verdict":"reject",')],
  ])('is refused with %s', (_, claims) => {
    expect(() => openVerdict(signedByBob(header(), claims))).toThrow(malformed);
  });

  it('may have the longest reason, no reason, and no facts', () => {
    for (const claims of [
      { ...CLAIMS, reason: 'ü'.repeat(2000) },
      { ...CLAIMS, reason: '', attests: [] },
    ]) {
      expect(openVerdict(signedByBob(header(), claims)).claims).toEqual(claims);
    }
  });
});
