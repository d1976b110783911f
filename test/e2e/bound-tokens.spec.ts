import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { calculateJwkThumbprint } from 'jose';
import { signDpopProof } from '../../adapters/jose/dpop';
import { importMandateJwks } from '../../adapters/jose/mandate-keys';
import { openMandate } from '../../adapters/jose/mandate-jws';
import type { HttpCaller } from '../support/http';
import { Approver } from '../support/approver';
import { JwtAuthority, otherSignatureOf } from '../support/jwt-authority';
import { changedPolicy } from '../support/policy';
import { TestStack } from '../support/stack';
import { TokenIssuer } from '../support/token-issuer';

const PROXY = 'agent/hr-helper';
const BOT = 'spiffe://corp.example/agent/finance-bot';
const AGENTAUTH = 'spiffe://corp.example/agentauth';
const jwtAuthority = new JwtAuthority();

let stack: TestStack;
let platform: TokenIssuer;
let nobody: HttpCaller;

beforeAll(async () => {
  platform = await TokenIssuer.start();
  const policy = await changedPolicy((data) => {
    data.identity.platforms[platform.issuer] = platform.trusted([
      { claims: { sub: 'workload-7', env: 'prod' }, spiffe_id: BOT },
      { claims: { sub: 'twice' }, spiffe_id: BOT },
      { claims: { sub: 'twice' }, spiffe_id: 'spiffe://corp.example/agent/explorer' },
      { claims: { sub: 'alice' }, spiffe_id: 'spiffe://corp.example/person/alice' },
      { claims: { sub: 'stranger' }, spiffe_id: 'spiffe://corp.example/agent/unknown' },
    ]);
  });
  stack = await TestStack.start(
    {
      ATB_POLICY_DIR: policy,
      ATB_TRUSTED_PROXIES: `spiffe://corp.example/${PROXY}`,
    },
    [jwtAuthority.jwk],
  );
  nobody = stack.nobody();
});

afterAll(async () => {
  await stack.stop();
  await platform.stop();
});

const newKey = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const jktOf = (key: KeyObject) => calculateJwkThumbprint(createPublicKey(key).export({ format: 'jwk' }));

function proofOf(key: KeyObject, path: string, token?: string, method = 'POST'): Promise<string> {
  const url = `${stack.stack.agentauthUrl}${path}`;
  const expected = { method, url, now: new Date(), ...(token !== undefined && { token }) };
  return signDpopProof(key, expected, randomBytes(16).toString('base64url'));
}

async function exchange(key: KeyObject, subjectToken: string, changes: Record<string, string> = {}) {
  const form = {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    subject_token: subjectToken,
    ...changes,
  };
  return nobody.send('POST', '/token', new URLSearchParams(form).toString(), {
    'content-type': 'application/x-www-form-urlencoded',
    dpop: await proofOf(key, '/token'),
  });
}

const prod = (claims: Record<string, unknown> = {}) => platform.token({ env: 'prod', ...claims });

/** The headers of a call with a token and a fresh proof. */
const bound = async (key: KeyObject, token: string, path: string, method = 'POST') => ({
  authorization: `DPoP ${token}`,
  dpop: await proofOf(key, path, token, method),
});

async function claimsOf(mandate: unknown) {
  const jwks = (await nobody.get('/.well-known/jwks.json')).body;
  const parties = { issuer: AGENTAUTH, audience: 'spiffe://corp.example/broker' };
  return openMandate(String(mandate), importMandateJwks(jwks), parties);
}

async function tokenFor(key: KeyObject): Promise<string> {
  return String((await exchange(key, await prod())).body.access_token);
}

describe("a platform's token (RFC 8693)", () => {
  it('becomes one of ours that is bound to the agent’s key, and is recorded first', async () => {
    const answer = await exchange(newKey(), await prod());
    expect(answer).toMatchObject({
      status: 200,
      body: { token_type: 'DPoP', expires_in: 300, spiffe_id: BOT },
      headers: { 'cache-control': 'no-store' },
    });
    const events = await (await stack.ledger()).events({ type: 'identity_token_issued', limit: 10 });
    expect(events.at(-1)).toMatchObject({ subject: BOT, data: { platform: platform.issuer } });
  });

  it('and that goes from asking to a mandate that is bound to the key', async () => {
    const key = newKey();
    const token = await tokenFor(key);
    const asked = await nobody.post('/issue', { act: 'erp.order.create' }, await bound(key, token, '/issue'));
    expect(asked).toMatchObject({ status: 202, body: { agent: BOT } });
    const id = String(asked.body.request_id);
    await new Approver(stack, 'person/bob', 'compliance').give(id);
    const seen = await nobody.send(
      'GET',
      `/requests/${id}`,
      undefined,
      await bound(key, token, `/requests/${id}`, 'GET'),
    );
    expect(seen.body).toMatchObject({ state: 'approved' });
    const path = `/requests/${id}/collect`;
    const collected = await nobody.post(path, undefined, await bound(key, token, path));
    expect(await claimsOf(collected.body.mandate)).toMatchObject({
      sub: BOT,
      cnf: { jkt: await jktOf(key) },
    });
  });

  it.each([
    ['that has expired', () => prod({ iat: 1, exp: 2 }), 401, 'token_invalid'],
    ['that has no end (attack 9)', () => prod({ exp: undefined }), 401, 'token_invalid'],
    ['for another audience (attack 9)', () => prod({ aud: 'somebody' }), 401, 'token_invalid'],
    ['without an audience (attack 9)', () => prod({ aud: undefined }), 401, 'token_invalid'],
    ['that is too old', () => prod({ iat: Math.floor(Date.now() / 1000) - 700 }), 401, 'token_invalid'],
    ['of an unknown issuer', () => prod({ iss: 'https://evil.example' }), 401, 'token_invalid'],
    ['with an unknown key', () => platform.token({ env: 'prod' }, { kid: 'k2' }), 401, 'token_invalid'],
    ['without a claim that policy wants', () => platform.token(), 403, 'identity_unmapped'],
    ['that names two', () => prod({ sub: 'twice' }), 403, 'identity_unmapped'],
    ['that names a person', () => prod({ sub: 'alice' }), 403, 'identity_unmapped'],
    ['that names no agent of the directory', () => prod({ sub: 'stranger' }), 403, 'identity_unmapped'],
    ['that is none', () => Promise.resolve('nonsense'), 401, 'token_invalid'],
  ])('%s gets nothing', async (_, token, status, code) => {
    expect(await exchange(newKey(), await token())).toMatchObject({ status, body: { code } });
  });

  it('with one unknown key after the other fetches the keys no more (attack 35)', async () => {
    await exchange(newKey(), await prod());
    const before = platform.fetches;
    for (let n = 0; n < 10; n++) await exchange(newKey(), await platform.token({}, { kid: `no-${n}` }));
    expect(platform.fetches).toBeLessThanOrEqual(before + 1);
  });

  it.each([
    [{ grant_type: 'client_credentials' }],
    [{ subject_token_type: 'urn:ietf:params:oauth:token-type:saml2' }],
    [{ subject_token: '' }],
  ])('is a bad request with %p', async (changes) => {
    expect(await exchange(newKey(), await prod(), changes)).toMatchObject({ status: 400 });
  });

  it('needs a proof of the key', async () => {
    const answer = await nobody.form('/token', {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      subject_token: await prod(),
    });
    expect(answer).toMatchObject({ status: 401, body: { code: 'dpop_proof_invalid' } });
  });
});

describe('a token that is bound to a key', () => {
  const READ = { act: 'crm.contact.read' };
  let key: KeyObject;
  let token: string;
  beforeAll(async () => {
    key = newKey();
    token = await tokenFor(key);
  });

  it('is nothing without a proof, or with one by another key, for another call or another token (attack 1)', async () => {
    const ask = (headers: Record<string, string>) => nobody.post('/issue', READ, headers);
    const authorization = `DPoP ${token}`;
    const refused: unknown = expect.objectContaining({ status: 401 });
    expect(await ask({ authorization })).toEqual(refused);
    expect(await ask(await bound(newKey(), token, '/issue'))).toEqual(refused);
    expect(await ask({ authorization, dpop: await proofOf(key, '/plan', token) })).toEqual(refused);
    expect(await ask({ authorization, dpop: await proofOf(key, '/issue', 'another') })).toEqual(refused);
    expect(await ask({ authorization, dpop: await proofOf(key, '/issue') })).toEqual(refused);
    expect(await ask({ ...(await bound(key, token, '/issue')), authorization: `Bearer ${token}` })).toEqual(
      refused,
    );
    expect((await ask(await bound(key, token, '/issue'))).status).toBe(201);
  });

  it('takes each proof once', async () => {
    const headers = await bound(key, token, '/issue');
    expect((await nobody.post('/issue', READ, headers)).status).toBe(201);
    expect(await nobody.post('/issue', READ, headers)).toMatchObject({ body: { code: 'proof_replayed' } });
  });

  it('may not come with a certificate of its own: there would be two callers (attack 1)', async () => {
    const answer = await stack.as('agent/explorer').post('/issue', READ, await bound(key, token, '/issue'));
    expect(answer).toMatchObject({ status: 400, body: { code: 'credentials_ambiguous' } });
  });

  it('may come through a hop of ours', async () => {
    expect((await stack.as(PROXY).post('/issue', READ, await bound(key, token, '/issue'))).status).toBe(201);
  });

  it('is no mandate, and a mandate is no such token', async () => {
    const mandate = String((await stack.as('agent/crm-assistant').post('/issue', READ)).body.mandate);
    expect(await nobody.post('/issue', READ, await bound(key, mandate, '/issue'))).toMatchObject({
      status: 401,
    });
    expect((await stack.as('person/bob').form('/introspect', { token })).body).toEqual({ active: false });
  });
});

describe('a JWT-SVID', () => {
  const READ = { act: 'crm.contact.read' };
  const CRM = 'spiffe://corp.example/agent/crm-assistant';
  const jwtSvid = (claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}) =>
    // Two of the same second would be one without an ID of their own.
    jwtAuthority.svid({ sub: CRM, aud: AGENTAUTH, jti: randomBytes(8).toString('hex'), ...claims }, header);
  const ask = async (key: KeyObject, token: string) =>
    nobody.post('/issue', READ, await bound(key, token, '/issue'));

  it('is evidence, and the mandate is bound to the key of the proof that came with it (RFC 9449)', async () => {
    const key = newKey();
    const answer = await ask(key, await jwtSvid());
    expect(answer.status).toBe(201);
    const claims = await claimsOf(answer.body.mandate);
    expect(claims).toMatchObject({ sub: CRM, cnf: { jkt: await jktOf(key) } });
    expect(claims.cnf).not.toHaveProperty('x5t#S256');
  });

  it('counts for one request, however its signature is written', async () => {
    const key = newKey();
    const token = await jwtSvid();
    expect((await ask(key, token)).status).toBe(201);
    for (const again of [token, otherSignatureOf(token)]) {
      const refused = await ask(key, again);
      expect(refused.status).toBeGreaterThanOrEqual(400);
      expect(refused.body).toMatchObject({ code: 'proof_replayed' });
    }
  });

  it('that was stolen on the way is nothing with another key', async () => {
    const token = await jwtSvid();
    expect((await ask(newKey(), token)).status).toBe(201);
    for (const stolen of [token, otherSignatureOf(token)]) {
      expect(await ask(newKey(), stolen)).toMatchObject({ status: 401, body: { code: 'token_invalid' } });
    }
  });

  it('serves its request from asking to collecting', async () => {
    const key = newKey();
    const token = await jwtSvid({ sub: BOT });
    const asked = await nobody.post('/issue', { act: 'erp.order.create' }, await bound(key, token, '/issue'));
    expect(asked).toMatchObject({ status: 202, body: { agent: BOT } });
    const id = String(asked.body.request_id);
    await new Approver(stack, 'person/bob', 'compliance').give(id);
    const path = `/requests/${id}/collect`;
    const foreign = await nobody.post(path, undefined, await bound(key, await jwtSvid(), path));
    expect(foreign.status).toBeGreaterThanOrEqual(403);
    const collected = await nobody.post(path, undefined, await bound(key, token, path));
    expect(await claimsOf(collected.body.mandate)).toMatchObject({
      sub: BOT,
      cnf: { jkt: await jktOf(key) },
    });
  });

  it.each([
    ['without an end (attack 9)', { exp: undefined }, {}, 'token_invalid'],
    ['for another audience (attack 9)', { aud: 'spiffe://corp.example/broker' }, {}, 'token_invalid'],
    ['without an audience (attack 9)', { aud: undefined }, {}, 'token_invalid'],
    ['that has expired', { iat: 1, exp: 2 }, {}, 'token_invalid'],
    ['that lasts too long', { exp: Math.floor(Date.now() / 1000) + 3_600 }, {}, 'token_invalid'],
    ['with an unknown key', {}, { kid: 'b' }, 'untrusted_svid'],
    [
      'of another trust domain (attack 25)',
      { sub: 'spiffe://x.example/agent/y' },
      {},
      'trust_domain_unknown',
    ],
    ['of nobody', { sub: 'crm-assistant' }, {}, 'spiffe_id_malformed'],
  ])('%s is refused', async (_, claims, header, code) => {
    expect(await ask(newKey(), await jwtSvid(claims, header))).toMatchObject({ status: 401, body: { code } });
  });

  it('as a bearer token, without a proof, is refused', async () => {
    const headers = { authorization: `Bearer ${await jwtSvid()}` };
    expect(await nobody.post('/issue', READ, headers)).toMatchObject({ status: 401 });
  });
});

describe('Client-Cert (RFC 9440)', () => {
  const header = (name: string) => {
    const pem = readFileSync(stack.identity(name).cert, 'utf8');
    return `:${pem.replace(/-----[^-]+-----/g, '').replace(/\s/g, '')}:`;
  };
  const ask = (as: string, headers: Record<string, string>) =>
    stack.as(as).post('/issue', { act: 'crm.contact.read' }, headers);

  it('counts from the hop that is configured for it', async () => {
    const answer = await ask(PROXY, { 'client-cert': header('agent/crm-assistant') });
    expect(answer.status).toBe(201);
    const [event] = await (
      await stack.ledger()
    ).events({ requestId: String(answer.body.request_id), limit: 1 });
    expect(event).toMatchObject({ subject: 'spiffe://corp.example/agent/crm-assistant' });
  });

  it.each(['client-cert', 'client-cert-chain', 'Client-Cert'])(
    'is refused from anybody else: %s',
    async (name) => {
      const answer = await ask('agent/explorer', { [name]: header('agent/crm-assistant') });
      expect(answer).toMatchObject({ status: 401, body: { code: 'proxy_not_trusted' } });
    },
  );

  it('is refused from nobody at all', async () => {
    const answer = await nobody.post(
      '/issue',
      { act: 'crm.contact.read' },
      { 'client-cert': header('agent/explorer') },
    );
    expect(answer).toMatchObject({ status: 401, body: { code: 'proxy_not_trusted' } });
  });

  it.each(['', 'AAAA', ':AAAA:, :AAAA:', ':!!:', ':AAAB'])(
    'that is malformed is refused: %s',
    async (value) => {
      expect(await ask(PROXY, { 'client-cert': value })).toMatchObject({ status: 401 });
    },
  );
});
