import { createHmac, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { CompactSign, UnsecuredJWT } from 'jose';
import { TrustBundleSet, parseBundleDocument, parseJwtBundle, validateJwtSvid } from '../../adapters/spiffe';
import type { JwtSvidOptions } from '../../adapters/spiffe';
import { JwtAuthority, otherSignatureOf } from '../support/jwt-authority';
import { readJwtHeader, verifyJwtSignature } from '../../adapters/spiffe/jwt-svid';
import { describeVectors, reportVectors, vectorFiles, vectorJson, vectorText } from '../support/vectors';

const BOT = 'spiffe://corp.example/agent/finance-bot';
const AUDIENCE = 'spiffe://corp.example/agentauth';
const ROCA = 'rejectsKeyWithRocaVulnerability';
const NOW = new Date('2026-06-01T12:00:00Z');
const SECONDS = NOW.getTime() / 1000;
const refusal = (code: string): Error => expect.objectContaining({ code }) as Error;

const ec = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve });
const rsa = (modulusLength = 2048) => generateKeyPairSync('rsa', { modulusLength });
const authority = new JwtAuthority();
const other = new JwtAuthority('b');

function bundlesOf(domains: Record<string, readonly object[]>): TrustBundleSet {
  return TrustBundleSet.ofDocuments(
    Object.entries(domains).map(([name, keys]) => [name, parseBundleDocument(JSON.stringify({ keys }))]),
  );
}
const bundles = bundlesOf({ 'corp.example': [authority.jwk], 'other.example': [other.jwk] });

const svidOf = (claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}, by = authority) =>
  by.svid({ sub: BOT, aud: AUDIENCE, ...claims }, header, NOW);
const validate = (token: string, options: Partial<JwtSvidOptions> = {}, at = NOW, trusted = bundles) =>
  validateJwtSvid(token, trusted, at, { audience: AUDIENCE, ...options });

describe('a JWT-SVID', () => {
  it('says who it is, for whom, and until when', async () => {
    await expect(validate(await svidOf({ department: 'finance' }))).resolves.toMatchObject({
      spiffeId: BOT,
      id: { trustDomain: 'corp.example', path: '/agent/finance-bot' },
      audience: [AUDIENCE],
      expiresAt: new Date(NOW.getTime() + 300_000),
      claims: { department: 'finance' },
    });
  });

  const rsaKeys = rsa();
  it.each([
    ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'].map((alg) => [alg, rsaKeys] as const),
    ['ES256', ec('P-256')] as const,
    ['ES384', ec('P-384')] as const,
    ['ES512', ec('P-521')] as const,
  ])('may be signed with %s (§2.1)', async (alg, keys) => {
    const by = new JwtAuthority('k', keys, alg);
    const trusted = bundlesOf({ 'corp.example': [by.jwk] });
    const token = await svidOf({}, {}, by);
    await expect(validate(token, {}, NOW, trusted)).resolves.toMatchObject({ spiffeId: BOT });
    await expect(validate(tampered(token), {}, NOW, trusted)).rejects.toThrow(
      refusal('jwt_signature_invalid'),
    );
  });

  it.each(['EdDSA', 'Ed25519', 'HS256', 'none', 'es256', ''])(
    'is never signed with %j (§2.1)',
    async (alg) => {
      const token = forged({ alg, kid: 'a', typ: 'JWT' }, { sub: BOT, aud: AUDIENCE, exp: SECONDS + 60 });
      await expect(validate(token)).rejects.toThrow(refusal('jwt_algorithm_refused'));
    },
  );

  it('is refused unsecured, and with a public key taken for a shared secret', async () => {
    const unsecured = new UnsecuredJWT({ sub: BOT, aud: AUDIENCE, exp: SECONDS + 60 }).encode();
    await expect(validate(unsecured)).rejects.toThrow(refusal('jwt_algorithm_refused'));
    const pem = createPublicKey({ key: authority.jwk, format: 'jwk' }).export({
      type: 'spki',
      format: 'pem',
    });
    const [head, body] = forged({ alg: 'HS256', kid: 'a' }, { sub: BOT, aud: AUDIENCE }).split('.');
    const mac = createHmac('sha256', pem).update(`${head}.${body}`).digest('base64url');
    await expect(validate(`${head}.${body}.${mac}`)).rejects.toThrow(refusal('jwt_algorithm_refused'));
  });

  it('of an Ed25519 key is refused though the bundle has it: the key is left out', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519');
    const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'ed', use: 'jwt-svid' };
    const trusted = bundlesOf({ 'corp.example': [jwk, authority.jwk] });
    const payload = { sub: BOT, aud: AUDIENCE, exp: SECONDS + 60 };
    const [head, body] = forged({ alg: 'EdDSA', kid: 'ed' }, payload).split('.');
    const signature = sign(null, Buffer.from(`${head}.${body}`), privateKey).toString('base64url');
    await expect(validate(`${head}.${body}.${signature}`, {}, NOW, trusted)).rejects.toThrow(
      refusal('jwt_algorithm_refused'),
    );
    expect(trusted.jwtAuthoritiesOf('corp.example').size).toBe(1);
  });

  it.each([
    ['ES384', ec('P-256')],
    ['RS256', ec('P-256')],
    ['ES256', rsaKeys],
  ])('with %s and another kind of key is refused', async (alg, keys) => {
    const jwk = { ...keys.publicKey.export({ format: 'jwk' }), kid: 'a', use: 'jwt-svid' };
    const token = forged({ alg, kid: 'a' }, { sub: BOT, aud: AUDIENCE, exp: SECONDS + 60 });
    await expect(validate(token, {}, NOW, bundlesOf({ 'corp.example': [jwk] }))).rejects.toThrow(
      refusal('jwt_algorithm_refused'),
    );
  });

  it('without a key ID is verified with every key that fits (§2.2)', async () => {
    const trusted = bundlesOf({ 'corp.example': [new JwtAuthority('x').jwk, authority.jwk] });
    await expect(validate(await svidOf({}, { kid: undefined }), {}, NOW, trusted)).resolves.toBeDefined();
    const strange = await svidOf({}, { kid: undefined }, new JwtAuthority());
    await expect(validate(strange, {}, NOW, trusted)).rejects.toThrow(refusal('jwt_signature_invalid'));
  });

  it.each([
    ['unknown', 'jwt_key_unknown'],
    ['', 'jwt_malformed'],
    [7, 'jwt_malformed'],
  ])('with the key ID %j is refused', async (kid, code) => {
    await expect(validate(await svidOf({}, { kid }))).rejects.toThrow(refusal(code));
  });

  it.each(['JWT', 'JOSE', undefined])('may be of the type %j (§2.3)', async (typ) => {
    await expect(validate(await svidOf({}, { typ }))).resolves.toBeDefined();
  });

  it.each(['jwt', 'at+jwt', 'poa+jwt', '', 7])('may not be of the type %j (§2.3)', async (typ) => {
    await expect(validate(await svidOf({}, { typ }))).rejects.toThrow(refusal('jwt_malformed'));
  });

  it.each([
    ['jwk', authority.jwk],
    ['jku', 'https://evil.example/keys'],
    ['x5c', ['AAAA']],
    ['x5u', 'https://evil.example/cert'],
    ['cty', 'JWT'],
    ['private', 1],
  ])('has no other header, such as %s (§2)', async (name, value) => {
    await expect(validate(await svidOf({}, { [name]: value }))).rejects.toThrow(refusal('jwt_malformed'));
  });

  it('has no critical header, known or not', async () => {
    const token = forged({ alg: 'ES256', kid: 'a', crit: ['b64'], b64: false }, { sub: BOT });
    await expect(validate(token)).rejects.toThrow(refusal('jwt_malformed'));
  });
});

describe("a JWT-SVID's subject (§3.1)", () => {
  it.each([
    [undefined, 'jwt_malformed'],
    [7, 'jwt_malformed'],
    ['', 'spiffe_id_malformed'],
    ['finance-bot', 'spiffe_id_malformed'],
    ['https://corp.example/agent/finance-bot', 'spiffe_id_malformed'],
    ['spiffe://corp.example', 'spiffe_id_malformed'],
    ['spiffe://Corp.Example/agent/finance-bot', 'spiffe_id_malformed'],
    ['spiffe://corp.example/agent/../person/bob', 'spiffe_id_malformed'],
    ['spiffe://stranger.example/agent/x', 'trust_domain_unknown'],
  ])('may not be %j', async (sub, code) => {
    await expect(validate(await svidOf({ sub }))).rejects.toThrow(refusal(code));
  });

  it('is vouched for by the keys of its own trust domain alone, also where a key ID is the same', async () => {
    const stolen = new JwtAuthority('a');
    const trusted = bundlesOf({ 'corp.example': [authority.jwk], 'other.example': [stolen.jwk, other.jwk] });
    await expect(validate(await svidOf({}, {}, other), {}, NOW, trusted)).rejects.toThrow(
      refusal('jwt_key_unknown'),
    );
    await expect(validate(await svidOf({}, {}, stolen), {}, NOW, trusted)).rejects.toThrow(
      refusal('jwt_signature_invalid'),
    );
    const foreign = await svidOf({ sub: 'spiffe://other.example/agent/x' }, {}, other);
    await expect(validate(foreign)).resolves.toMatchObject({ id: { trustDomain: 'other.example' } });
  });

  it('of a trust domain without keys for JWT-SVIDs is unknown', async () => {
    const trusted = bundlesOf({ 'other.example': [other.jwk] });
    await expect(validate(await svidOf(), {}, NOW, trusted)).rejects.toThrow(refusal('trust_domain_unknown'));
  });
});

describe("a JWT-SVID's audience (§3.2)", () => {
  it.each([[AUDIENCE], [[AUDIENCE]], [['somebody', AUDIENCE]]])('may be %j', async (aud) => {
    await expect(validate(await svidOf({ aud }))).resolves.toBeDefined();
  });

  it.each([
    [undefined, 'jwt_malformed'],
    [null, 'jwt_malformed'],
    [7, 'jwt_malformed'],
    [[AUDIENCE, 7], 'jwt_malformed'],
    [{ [AUDIENCE]: true }, 'jwt_malformed'],
    [[], 'jwt_audience_mismatch'],
    ['', 'jwt_audience_mismatch'],
    ['somebody', 'jwt_audience_mismatch'],
    [AUDIENCE.toUpperCase(), 'jwt_audience_mismatch'],
    [`${AUDIENCE}/`, 'jwt_audience_mismatch'],
    [AUDIENCE.slice(0, -1), 'jwt_audience_mismatch'],
  ])('may not be %j', async (aud, code) => {
    await expect(validate(await svidOf({ aud }))).rejects.toThrow(refusal(code));
  });
});

describe("a JWT-SVID's times (§3.3)", () => {
  const at = (milliseconds: number) => new Date(NOW.getTime() + milliseconds);

  it('are good up to the last moment, and not at the end (RFC 7519 §4.1.4)', async () => {
    const token = await svidOf({ exp: SECONDS + 60 });
    await expect(validate(token, {}, at(59_999))).resolves.toBeDefined();
    await expect(validate(token, {}, at(60_000))).rejects.toThrow(refusal('jwt_expired'));
    await expect(validate(token, { clockSkewSeconds: 10 }, at(69_999))).resolves.toBeDefined();
    await expect(validate(token, { clockSkewSeconds: 10 }, at(70_000))).rejects.toThrow(
      refusal('jwt_expired'),
    );
  });

  it('begin with nbf, where there is one (RFC 7519 §4.1.5)', async () => {
    const token = await svidOf({ nbf: SECONDS + 5 });
    await expect(validate(token, {}, at(4_999))).rejects.toThrow(refusal('jwt_not_yet_valid'));
    await expect(validate(token, {}, at(5_000))).resolves.toBeDefined();
    await expect(validate(token, { clockSkewSeconds: 5 }, NOW)).resolves.toBeDefined();
  });

  it.each([undefined, null, '9999999999', '', true])('need an exp, and %j is none', async (exp) => {
    await expect(validate(await svidOf({ exp }))).rejects.toThrow(refusal('jwt_malformed'));
  });

  it.each(['nbf', 'iat'])('are numbers: %s too', async (name) => {
    await expect(validate(await svidOf({ [name]: '5' }))).rejects.toThrow(refusal('jwt_malformed'));
  });

  it('beyond all numbers are refused', async () => {
    const token = await new CompactSign(Buffer.from(`{"sub":"${BOT}","aud":"${AUDIENCE}","exp":1e999}`))
      .setProtectedHeader({ alg: 'ES256', kid: 'a' })
      .sign(authority.keys.privateKey);
    await expect(validate(token)).rejects.toThrow(refusal('jwt_malformed'));
  });

  it('may be an hour apart, or what the validator is told, and not a second more', async () => {
    const lasting = (seconds: number) => svidOf({ exp: SECONDS + seconds });
    await expect(validate(await lasting(3_600))).resolves.toBeDefined();
    await expect(validate(await lasting(3_601))).rejects.toThrow(refusal('jwt_lifetime_too_long'));
    const cap = { maxLifetimeSeconds: 300 };
    await expect(validate(await lasting(300), cap)).resolves.toBeDefined();
    await expect(validate(await lasting(301), cap)).rejects.toThrow(refusal('jwt_lifetime_too_long'));
  });

  it('count from now where the token does not say when it was issued, or says in the future', async () => {
    for (const iat of [undefined, SECONDS + 86_000]) {
      const token = await svidOf({ iat, exp: SECONDS + 86_400 });
      await expect(validate(token)).rejects.toThrow(refusal('jwt_lifetime_too_long'));
    }
    await expect(validate(await svidOf({ iat: undefined }))).resolves.toBeDefined();
  });

  it('count from when it was issued, however little is left', async () => {
    const token = await svidOf({ iat: SECONDS - 86_400, exp: SECONDS + 60 });
    await expect(validate(token)).rejects.toThrow(refusal('jwt_lifetime_too_long'));
  });

  it('refuse everything when there is no time', async () => {
    await expect(validate(await svidOf(), {}, new Date(NaN))).rejects.toThrow(refusal('jwt_expired'));
  });
});

describe("a JWT-SVID's form (§5.1)", () => {
  it('is the compact serialization, in one spelling', async () => {
    const token = await svidOf();
    const [head, body, signature] = token.split('.') as [string, string, string];
    const json = JSON.stringify({ payload: body, protected: head, signature });
    for (const wrong of [
      ...['', '.', '..', 'a.b', `${token}.`, `.${token}`, ` ${token}`, `${token}\n`, `${token}=`, json],
      `${head}..${signature}`,
      `${head}.${body}.`,
      `${head}.${body}.${signature.slice(0, -1)}`,
      `${head}.${body}.${lastBitsChanged(signature)}`,
      `${head}=.${body}.${signature}`,
      `${'A'.repeat(20_000)}.${body}.${signature}`,
    ]) {
      await expect(validate(wrong)).rejects.toMatchObject({ name: 'SpiffeError' });
    }
  });

  it('is refused with any one character changed', async () => {
    const token = await svidOf();
    for (let at = 0; at < token.length; at += 3) {
      const changed = token.slice(0, at) + (token[at] === 'A' ? 'B' : 'A') + token.slice(at + 1);
      await expect(validate(changed)).rejects.toMatchObject({ name: 'SpiffeError' });
    }
  });

  it('has one digest, however its signature is written', async () => {
    const token = await svidOf();
    const twin = otherSignatureOf(token);
    expect(twin).not.toBe(token);
    expect((await validate(twin)).digest).toBe((await validate(token)).digest);
    expect((await validate(await svidOf({ jti: '2' }))).digest).not.toBe((await validate(token)).digest);
  });
});

describe("a bundle's keys for JWT-SVIDs (§6)", () => {
  it('leave out what none of the algorithms is for', () => {
    const keys = [
      { ...authority.jwk, kid: 'good' },
      { ...rsa(1024).publicKey.export({ format: 'jwk' }), kid: 'small', use: 'jwt-svid' },
      { ...ec('secp256k1').publicKey.export({ format: 'jwk' }), kid: 'curve', use: 'jwt-svid' },
      { kty: 'EC', crv: 'P-999', x: 'AA', y: 'AA', kid: 'unknown curve', use: 'jwt-svid' },
      { kty: 'oct', k: 'AAAA', kid: 'secret', use: 'jwt-svid' },
      { kty: 'PQC', kid: 'unknown type', use: 'jwt-svid' },
      { ...authority.jwk, kid: 'other use', use: 'wit-svid' },
    ];
    const { jwtAuthorities } = parseBundleDocument(JSON.stringify({ keys }));
    expect([...jwtAuthorities.keys()]).toEqual(['good']);
  });

  it.each([[{ kid: undefined }], [{ kid: '' }], [{ x: 'AA' }], [{ kty: undefined }]])(
    'are refused with %j',
    (changes) => {
      const json = JSON.stringify({ keys: [{ ...authority.jwk, ...changes }] });
      expect(() => parseBundleDocument(json)).toThrow(refusal('bundle_malformed'));
    },
  );
});

describeVectors('RFC 7520: examples with the algorithms of JWT-SVIDs', () => {
  const EXAMPLES = ['4_1.rsa_v15_signature.json', '4_2.rsa-pss_signature.json', '4_3.ecdsa_signature.json'];
  afterAll(() => {
    reportVectors('jose-cookbook: JWT-SVID algorithms', EXAMPLES.length);
  });

  it.each(EXAMPLES)('%s verifies, and not with anything changed', async (file) => {
    const example = vectorJson('jose-cookbook', 'jws', file) as {
      input: { key: object };
      output: { compact: string };
    };
    const keys = parseJwtBundle(JSON.stringify({ keys: [example.input.key] }));
    const verify = (token: string) => verifyJwtSignature(token, readJwtHeader(token), keys);
    await expect(verify(example.output.compact)).resolves.toBeUndefined();
    const [head, , signature] = example.output.compact.split('.');
    await expect(verify(`${head}.AAAA.${signature}`)).rejects.toThrow(refusal('jwt_signature_invalid'));
  });
});

describeVectors('Wycheproof: JSON Web Keys', () => {
  interface Group {
    readonly public?: { readonly keys: readonly object[] };
    readonly private: { readonly keys: readonly object[] };
    readonly tests: readonly {
      readonly tcId: number;
      readonly comment: string;
      readonly jws: string;
      readonly result: string;
    }[];
  }

  it('verify a signature where the vector says valid, and it is no HMAC', async () => {
    const { testGroups } = vectorJson('wycheproof', 'json_web_key_test.json') as { testGroups: Group[] };
    let ran = 0;
    const left: Record<string, string> = {};
    for (const { public: publicKeys, private: privateKeys, tests } of testGroups) {
      for (const { tcId, comment, jws, result } of tests) {
        const name = `tcId ${tcId} (${comment})`;
        if (comment === ROCA) {
          left[name] =
            'keys of a maker that once erred, by an arithmetic that only shows in them: for who makes keys';
          continue;
        }
        ran++;
        const outcome = (async () => {
          const keys = parseJwtBundle(JSON.stringify(publicKeys ?? privateKeys));
          await verifyJwtSignature(jws, readJwtHeader(jws), keys);
        })();
        const isHmac = Buffer.from(jws.split('.')[0] ?? '', 'base64url').includes('"HS');
        if (result === 'valid' && !isHmac) await expect(outcome).resolves.toBeUndefined();
        else await expect(outcome).rejects.toMatchObject({ name: 'SpiffeError' });
      }
    }
    reportVectors('wycheproof json_web_key as JWT authorities', ran, left);
    expect(ran).toBe(25);
  });
});

describeVectors('go-spiffe: JWT bundles', () => {
  const FOLDER = ['go-spiffe', 'bundle', 'jwtbundle', 'testdata'];
  const files = vectorFiles(...FOLDER);
  afterAll(() => {
    reportVectors('go-spiffe JWT bundles', files.length);
  });

  it.each(files)('%s', (file) => {
    const parse = () => parseJwtBundle(vectorText(...FOLDER, file));
    if (file.includes('missing_kid')) expect(parse).toThrow(refusal('bundle_malformed'));
    else expect(parse().size).toBe(Number(/\d/.exec(file)?.[0]));
  });
});

function forged(header: object, payload: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part(header)}.${part(payload)}.${Buffer.alloc(64, 1).toString('base64url')}`;
}

function tampered(token: string): string {
  const [head, body = '', signature] = token.split('.');
  const claims = JSON.parse(Buffer.from(body, 'base64url').toString()) as object;
  const changed = Buffer.from(JSON.stringify({ ...claims, admin: true })).toString('base64url');
  return `${head}.${changed}.${signature}`;
}

/** The unused bits at the end: the same bytes in another spelling. */
function lastBitsChanged(part: string): string {
  const last = part.at(-1) ?? 'A';
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return part.slice(0, -1) + (alphabet[alphabet.indexOf(last) ^ 1] ?? 'A');
}
