import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { createDevelopmentCa, issueSvid } from '../../adapters/spiffe/development-ca';
import { FINANCE_BOT, TestBroker } from '../support/broker';

let test: TestBroker;

beforeAll(async () => {
  test = await TestBroker.start();
});
afterAll(() => test.stop());
beforeEach(() => {
  test.seen.length = 0;
  test.now = () => new Date();
});

const b64 = (text: string | Buffer) => Buffer.from(text).toString('base64url');
const header = () => ({ alg: 'EdDSA', typ: 'poa+jwt', kid: test.keys.signer.kid });

/** Refused with the code, and nothing reached the system behind. */
async function refused(mandate: string, code: string, status: number): Promise<void> {
  expect(await test.pay(mandate)).toMatchObject({ status, body: { code } });
  expect(test.seen).toHaveLength(0);
}

describe('the form and the signature of a mandate', () => {
  it('is what AgentAuth makes', async () => {
    expect(await test.pay(test.forge(header(), await test.claims()))).toMatchObject({ status: 200 });
  });

  it.each(['none', 'None', 'NONE', ''])('is refused with alg %j, signed or not', async (alg) => {
    const claims = await test.claims();
    await refused(test.forge({ ...header(), alg }, claims), 'mandate_invalid', 400);
    const [head, payload] = test.forge({ ...header(), alg }, claims).split('.');
    await refused(`${head}.${payload}.`, 'mandate_invalid', 400);
  });

  it('is refused with HS256 and the public key as the secret', async () => {
    const [jwk] = test.keys.jwks.keys;
    const secrets = [
      Buffer.from(jwk?.x ?? '', 'base64url'),
      Buffer.from(jwk?.x ?? ''),
      test.keys.signer.publicKey.export({ type: 'spki', format: 'pem' }),
      test.keys.signer.publicKey.export({ type: 'spki', format: 'der' }),
    ];
    for (const secret of secrets) {
      const hmac = (input: Buffer) => createHmac('sha256', secret).update(input).digest();
      await refused(
        test.forge({ ...header(), alg: 'HS256' }, await test.claims(), hmac),
        'mandate_invalid',
        400,
      );
      await refused(test.forge(header(), await test.claims(), hmac), 'mandate_invalid', 400);
    }
  });

  const otherKeys: readonly [string, string, () => KeyObject, string | null][] = [
    ['another Ed25519 key', 'EdDSA', () => generateKeyPairSync('ed25519').privateKey, null],
    ['Ed448', 'EdDSA', () => generateKeyPairSync('ed448').privateKey, null],
    ['P-256', 'ES256', () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey, 'sha256'],
    ['P-384', 'ES384', () => generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey, 'sha384'],
    [
      'secp256k1',
      'ES256K',
      () => generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey,
      'sha256',
    ],
    ['RSA', 'RS256', () => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey, 'sha256'],
  ];
  it.each(otherKeys)('is refused when signed by %s', async (_, alg, keyOf, hash) => {
    const key = keyOf();
    const signed = (input: Buffer) => sign(hash, input, { key, dsaEncoding: 'ieee-p1363' });
    await refused(test.forge({ ...header(), alg }, await test.claims(), signed), 'mandate_invalid', 400);
    await refused(test.forge(header(), await test.claims(), signed), 'mandate_invalid', 400);
  });

  it('is refused with a key of its own in the header, by value or by address', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const jwk = publicKey.export({ format: 'jwk' });
    const own = (input: Buffer) => sign(null, input, privateKey);
    const { cert } = await test.identity(FINANCE_BOT);
    const embedded = [
      { jwk },
      { jku: 'https://localhost:1/jwks.json' },
      { x5u: 'https://localhost:1/cert.pem' },
      { x5c: [Buffer.from(cert).toString('base64')] },
    ];
    for (const more of embedded) {
      await refused(test.forge({ ...header(), ...more }, await test.claims(), own), 'mandate_invalid', 400);
      // Also where the true key signed: a header parameter that nobody asked for gets no say.
      await refused(test.forge({ ...header(), ...more }, await test.claims()), 'mandate_invalid', 400);
    }
  });

  it.each([
    { crit: ['exp'] },
    { crit: ['b64'], b64: false },
    { crit: [] },
    { b64: false },
    { zip: 'DEF' },
    { cty: 'JWT' },
  ])('is refused with %j', async (more) => {
    await refused(test.forge({ ...header(), ...more }, await test.claims()), 'mandate_invalid', 400);
  });

  it.each(['JWT', 'poa', 'at+jwt', 'POA+JWT', 'poa-verdict+jwt', undefined])(
    'is refused with typ %j',
    async (typ) => {
      await refused(test.forge({ ...header(), typ }, await test.claims()), 'mandate_invalid', 400);
    },
  );

  it.each([
    '../../../../dev/null',
    '/etc/passwd',
    'file:///etc/passwd',
    "x' or '1'='1",
    "'; drop table redemption; --",
    'constructor',
    '__proto__',
    'a\u0000b',
    '',
    7,
    null,
    undefined,
    ['k'],
  ])('is refused with the kid %j', async (kid) => {
    await refused(test.forge({ ...header(), kid }, await test.claims()), 'mandate_invalid', 400);
    await test.sql('select 1 from redemption');
  });

  it('is refused with two signatures: in JSON serialization, or with four and five parts', async () => {
    const claims = await test.claims();
    const [head = '', payload = '', signature = ''] = test.forge(header(), claims).split('.');
    const json = JSON.stringify({
      payload,
      signatures: [
        { protected: head, signature },
        { protected: head, signature },
      ],
    });
    for (const form of [
      json,
      b64(json),
      `${head}.${payload}.${signature}.${signature}`,
      `${head}.${payload}.a.b.c`,
    ]) {
      await refused(form, 'mandate_invalid', 400);
    }
  });

  it.each([
    ['a key twice', (claims: string) => claims.replace('{', '{"sub":"spiffe://corp.example/agent/other",')],
    [
      'a key twice, the second spelled with an escape',
      (claims: string) => claims.replace(/}$/, ',"su\\u0062":"x"}'),
    ],
    ['a comment', (claims: string) => `${claims}//`],
    ['a second value behind', (claims: string) => `${claims}{}`],
    ['a list', () => '[]'],
    ['nothing', () => 'null'],
    ['an unknown claim', (claims: string) => claims.replace('{', '{"scope":"*",')],
  ])('is refused with %s as its claims', async (_, spoilt) => {
    const claims = spoilt(JSON.stringify(await test.claims()));
    const input = `${b64(JSON.stringify(header()))}.${b64(claims)}`;
    await refused(`${input}.${test.signature(input).toString('base64url')}`, 'mandate_invalid', 400);
  });

  it('is the only thing in Authorization, under the one scheme', async () => {
    const mandate = await test.mint();
    const [head, payload, signature] = mandate.split('.');
    const written = [
      `Bearer ${mandate}`,
      `PoA  ${mandate}`,
      `PoA\t${mandate}`,
      `PoA ${mandate},`,
      `PoA ${mandate}, PoA ${mandate}`,
      `PoA "${mandate}"`,
      `PoA mandate=${mandate}`,
      `PoA ${head}.${payload}.${signature}==`,
      `PoA ${head}. ${payload}.${signature}`,
      mandate,
      'PoA',
    ];
    const bot = await test.caller();
    for (const authorization of written) {
      expect(await bot.post('/c/erp/payments', { amount: 100 }, { authorization })).toMatchObject({
        status: 400,
        body: { code: 'mandate_invalid' },
      });
    }
    expect(await bot.post(`/c/erp/payments`, { amount: 100 }, { 'x-poa': mandate })).toMatchObject({
      status: 401,
      body: { code: 'mandate_missing' },
    });
    // To us it is a query parameter like any other, and one that no route names.
    expect(await bot.post(`/c/erp/payments?access_token=${mandate}`, { amount: 100 })).toMatchObject({
      status: 403,
      body: { code: 'parameter_not_approved' },
    });
    expect(test.seen).toHaveLength(0);
  });
});

describe('a mandate that says nothing, or not quite something, opens nothing (attack 34)', () => {
  const thumbprint = async () => (await test.claims()).cnf['x5t#S256'];

  it.each<[string, string | null | undefined, string, number]>([
    ['no subject', undefined, 'mandate_invalid', 400],
    ['null for a subject', null, 'mandate_invalid', 400],
    ['an empty subject', '', 'mandate_invalid', 400],
    ['a blank subject', ' ', 'agent_mismatch', 403],
    ['a pattern for a subject', 'spiffe://corp.example/agent/*', 'agent_mismatch', 403],
    ['a regular expression for a subject', '.*', 'agent_mismatch', 403],
    ['the beginning of the subject', FINANCE_BOT.slice(0, -1), 'agent_mismatch', 403],
    ['more than the subject', `${FINANCE_BOT}/x`, 'agent_mismatch', 403],
    ['the trust domain for a subject', 'spiffe://corp.example', 'agent_mismatch', 403],
  ])('%s', async (_, sub, code, status) => {
    await refused(test.forge(header(), { ...(await test.claims()), sub }), code, status);
  });

  it.each<[string, (x5t: string | undefined) => unknown]>([
    ['no binding', () => undefined],
    ['null for a binding', () => null],
    ['an empty binding', () => ({})],
    ['a binding by a name with a typo', (x5t) => ({ 'x5t#s256': x5t })],
    ['a binding of another kind', (x5t) => ({ 'x5t#S1': x5t })],
    ['an empty thumbprint', () => ({ 'x5t#S256': '' })],
    ['the beginning of a thumbprint', (x5t) => ({ 'x5t#S256': x5t?.slice(0, 22) })],
    ['a list of thumbprints', (x5t) => ({ 'x5t#S256': [x5t] })],
    ['a pattern for a thumbprint', () => ({ 'x5t#S256': '*' })],
    ['two bindings', (x5t) => ({ 'x5t#S256': x5t, jkt: x5t })],
  ])('%s', async (_, cnf) => {
    const claims = { ...(await test.claims()), cnf: cnf(await thumbprint()) };
    await refused(test.forge(header(), claims), 'mandate_invalid', 400);
  });

  it.each<[string, string, number]>([
    ['', 'mandate_invalid', 400],
    ['*', 'mandate_action_mismatch', 403],
    ['sap.payment.*', 'mandate_action_mismatch', 403],
    ['sap.payment', 'mandate_action_mismatch', 403],
    ['SAP.payment.execute', 'mandate_action_mismatch', 403],
    ['sap.payment.execute ', 'mandate_action_mismatch', 403],
  ])('the action %j', async (act, code, status) => {
    await refused(test.forge(header(), { ...(await test.claims()), act }), code, status);
  });
});

describe('issuer and audience (attack 29)', () => {
  it.each([
    { iss: 'spiffe://corp.example/agentauth2' },
    { iss: 'spiffe://corp.example/agentauth/' },
    { iss: 'SPIFFE://corp.example/agentauth' },
    { aud: 'spiffe://corp.example/broker2' },
    { aud: 'spiffe://corp.example/agentauth' },
    { aud: '*' },
    { aud: '' },
  ])('are refused where they are %j', async (claims) => {
    await refused(await test.mint(claims), 'mandate_invalid', 400);
  });

  it('are texts, and not a list in which ours stands too', async () => {
    const claims = await test.claims();
    await refused(test.forge(header(), { ...claims, aud: [claims.aud, 'other'] }), 'mandate_invalid', 400);
    await refused(test.forge(header(), { ...claims, iss: undefined }), 'mandate_invalid', 400);
    await refused(test.forge(header(), { ...claims, aud: undefined }), 'mandate_invalid', 400);
  });
});

describe('the times of a mandate', () => {
  // Ten minutes from now, so that the certificates of the test hold then too.
  const start = Math.floor(Date.now() / 1000) + 600;
  const SKEW_MS = 5_000;
  const mandate = () => test.mint({ iat: start, nbf: start, exp: start + 60 });
  const at = (milliseconds: number) => {
    test.now = () => new Date(start * 1000 + milliseconds);
  };

  const boundaries: readonly [string, number, number, string | null][] = [
    ['before nbf, beyond the leeway', -SKEW_MS - 1, 400, 'mandate_invalid'],
    ['at the end of the leeway before nbf', -SKEW_MS, 200, null],
    ['just before nbf', -1, 200, null],
    ['at nbf', 0, 200, null],
    ['just before exp', 59_999, 200, null],
    ['at exp, within the leeway', 60_000, 200, null],
    ['at the last moment of the leeway', 60_000 + SKEW_MS - 1, 200, null],
    ['when the leeway is over', 60_000 + SKEW_MS, 410, 'mandate_lapsed'],
    ['long after', 600_000, 410, 'mandate_lapsed'],
  ];
  it.each(boundaries)('%s', async (_, milliseconds, status, code) => {
    const compact = await mandate();
    at(milliseconds);
    expect(await test.pay(compact)).toMatchObject({ status, ...(code !== null && { body: { code } }) });
    expect(test.seen).toHaveLength(status === 200 ? 1 : 0);
  });

  it('count once more when it is marked: a body that comes slowly gains no time', async () => {
    const compact = await mandate();
    const clock = [0, 60_000 + SKEW_MS];
    test.now = () => new Date(start * 1000 + (clock.length > 1 ? (clock.shift() ?? 0) : (clock[0] ?? 0)));
    expect(await test.pay(compact)).toMatchObject({ status: 410, body: { code: 'mandate_lapsed' } });
    expect(test.seen).toHaveLength(0);
  });

  it.each([
    { exp: '9999999999' },
    { exp: 9_999_999_999.5 },
    { exp: 1e300 },
    { exp: null },
    { exp: undefined },
    { nbf: undefined },
    { iat: undefined },
    { nbf: -1 },
    { exp: 1, nbf: 2 },
  ])('are whole seconds, and all there: %j', async (times) => {
    await refused(test.forge(header(), { ...(await test.claims()), ...times }), 'mandate_invalid', 400);
  });
});

describe('who calls', () => {
  it("cannot use another agent's mandate", async () => {
    const caller = await test.caller('spiffe://corp.example/agent/crm-assistant');
    expect(await test.pay(await test.mint(), { caller })).toMatchObject({
      status: 403,
      body: { code: 'agent_mismatch' },
    });
    // Nor one that names the caller, and is bound to the other's certificate.
    const { cnf } = await test.claims();
    const stolen = await test.mint({ sub: 'spiffe://corp.example/agent/crm-assistant', cnf });
    expect(await test.pay(stolen, { caller })).toMatchObject({
      status: 403,
      body: { code: 'mandate_bound_to_other_certificate' },
    });
    expect(test.seen).toHaveLength(0);
  });

  it('is told how to get a new mandate when its certificate was renewed since', async () => {
    const caller = test.callerWith(await test.svid(FINANCE_BOT));
    const answer = await test.pay(await test.mint(), { caller });
    expect(answer).toMatchObject({ status: 403, body: { code: 'mandate_bound_to_other_certificate' } });
    expect(answer.body.detail).toMatch(/new mandate \(POST \/issue\)/);
    expect(test.seen).toHaveLength(0);
  });

  it('keeps the mandate where somebody else tried it: a refusal burns nothing (attack 39)', async () => {
    const mandate = await test.mint();
    const caller = await test.caller('spiffe://corp.example/agent/crm-assistant');
    expect(await test.pay(mandate, { caller })).toMatchObject({ status: 403 });
    expect(await test.pay(mandate)).toMatchObject({ status: 200 });
  });

  it('shows an X.509-SVID, of a trust domain that we know, with one URI, and in time (attack 25)', async () => {
    const stranger = await createDevelopmentCa('corp.example', 1);
    const foreign = await createDevelopmentCa('evil.example', 1);
    const foreignSvid = async (ca: typeof stranger, spiffeId: string) => {
      const { chainPem, privateKeyPem } = await issueSvid(ca, { spiffeId, ttlHours: 1 });
      return { cert: chainPem, key: privateKeyPem };
    };
    const hour = 3_600_000;
    const cases = [
      ['certificate_missing', undefined],
      ['untrusted_svid', await foreignSvid(stranger, FINANCE_BOT)],
      ['trust_domain_unknown', await foreignSvid(foreign, 'spiffe://evil.example/agent/finance-bot')],
      ['untrusted_svid', await foreignSvid(foreign, FINANCE_BOT)],
      [
        'svid_malformed',
        await test.svid(FINANCE_BOT, { uriSans: [FINANCE_BOT, 'spiffe://corp.example/agent/other'] }),
      ],
      ['svid_malformed', await test.svid(FINANCE_BOT, { uriSans: [FINANCE_BOT, 'https://localhost/'] })],
      ['svid_malformed', await test.svid(FINANCE_BOT, { uriSans: [], dnsNames: ['localhost'] })],
      ['spiffe_id_malformed', await test.svid(FINANCE_BOT, { uriSans: [`${FINANCE_BOT}/../hr-helper`] })],
      [
        'certificate_expired',
        await test.svid(FINANCE_BOT, {
          notBefore: new Date(Date.now() - 2 * hour),
          notAfter: new Date(Date.now() - hour),
        }),
      ],
      [
        'certificate_not_yet_valid',
        await test.svid(FINANCE_BOT, {
          notBefore: new Date(Date.now() + hour),
          notAfter: new Date(Date.now() + 2 * hour),
        }),
      ],
    ] as const;
    for (const [code, identity] of cases) {
      const mandate = await test.mint(identity && { cnf: test.boundTo(identity) });
      expect(await test.pay(mandate, { caller: test.callerWith(identity) })).toMatchObject({
        status: 401,
        body: { code },
      });
    }
    expect(test.seen).toHaveLength(0);
  });

  it('is judged at each call, not once for a connection that stays open', async () => {
    const identity = await test.svid(FINANCE_BOT, { notAfter: new Date(Date.now() + 600_000) });
    const caller = test.callerWith(identity);
    const mandate = () =>
      test.mint({ cnf: test.boundTo(identity), exp: Math.floor(Date.now() / 1000) + 4_000 });
    expect(await test.pay(await mandate(), { caller })).toMatchObject({ status: 200 });
    test.now = () => new Date(Date.now() + 700_000);
    expect(await test.pay(await mandate(), { caller })).toMatchObject({
      status: 401,
      body: { code: 'certificate_expired' },
    });
  });
});

describe('the keys of the issuer (attack 35)', () => {
  it('that nobody knows are refused alike, however many they are', async () => {
    const answers = await Promise.all(
      Array.from({ length: 200 }, async (_, index) =>
        test.pay(test.forge({ ...header(), kid: `unknown-${index}` }, await test.claims())),
      ),
    );
    expect(new Set(answers.map(({ body }) => body.code))).toEqual(new Set(['mandate_invalid']));
  });
});
