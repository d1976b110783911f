import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { newCertificationRequest } from '../../adapters/registration/certification-request';
import { registrationConfiguration } from '../../apps/registration/configuration';
import { startRegistration } from '../../apps/registration/registration';
import type { Registration } from '../../apps/registration/registration';
import { runAtb } from '../support/atb';
import { HttpCaller } from '../support/http';
import { OidcProvider } from '../support/oidc-provider';
import { changedPolicy } from '../support/policy';
import { TestStack } from '../support/stack';
import { TokenIssuer } from '../support/token-issuer';

const person = (name: string) => `spiffe://corp.example/person/${name}`;
const verified = (name: string) => ({
  claims: { email: `${name}@corp.example`, email_verified: true },
  spiffe_id: person(name),
});

let stack: TestStack;
let provider: OidcProvider;
let other: TokenIssuer;
let registration: Registration;

beforeAll(async () => {
  provider = await OidcProvider.start();
  other = await TokenIssuer.start();
  const policy = await changedPolicy((data) => {
    const subjects = [
      ...['bob', 'carol', 'unverified'].map(verified),
      { claims: { sub: 'bot' }, spiffe_id: 'spiffe://corp.example/agent/finance-bot' },
      { claims: { sub: 'mallory' }, spiffe_id: person('mallory') },
    ];
    data.identity.people[other.issuer] = other.trusted(subjects);
    data.identity.people[provider.issuer] = {
      ...{ ...other.trusted(subjects), jwks_uri: `${provider.issuer}/jwks` },
      ...{ audience: 'atb', ttl_seconds: 3_600 },
    };
  });
  stack = await TestStack.start({ ATB_POLICY_DIR: policy });
  const at = (name: string) => join(stack.directory, name);
  registration = await startRegistration(
    registrationConfiguration({
      ATB_REGISTRATION_PORT: '0',
      ATB_TLS_CERT_FILE: at('identities/agentauth/cert.pem'),
      ATB_TLS_KEY_FILE: at('identities/agentauth/key.pem'),
      ATB_PERSON_CA_CERT_FILE: at('corp.example.pem'),
      ATB_TRUST_BUNDLE_FILE: at('corp.example.pem'),
      ATB_PERSON_CA_KEY_FILE: at('ca-key.pem'),
      ATB_DATABASE_URL_FILE: at('database-url'),
      ATB_AUDIT_KEYS_FILE: at('audit-keys.json'),
      ATB_POLICY_BUNDLE_FILE: at('policy/bundle.tar.gz'),
      ATB_POLICY_PUBLIC_KEY_FILE: at('policy/public-key.pem'),
    }),
  );
});

afterAll(async () => {
  process.exitCode = 0;
  await registration.close();
  await stack.stop();
  await provider.stop();
  await other.stop();
});

/** Runs a command as somebody with a home of their own; `onErr` is their eyes. */
async function atb(home: string, argv: readonly string[], onErr: (text: string) => void = () => undefined) {
  const environment = {
    ATB_STATE_DIR: stack.directory,
    ATB_LOGIN_DIR: join(stack.directory, 'home', home),
    ATB_OIDC_ISSUER: provider.issuer,
    ATB_REGISTRATION_URL: registration.url,
    ATB_REGISTRATION_ID: 'spiffe://corp.example/agentauth',
  };
  const { exit, out, err } = await runAtb(argv, { environment, err: onErr });
  return { exitCode: exit, stdout: out, stderr: err };
}

/** Logs in; the person approves in a browser as soon as the address is shown. */
async function login(home: string, name: string) {
  const approvals: Promise<void>[] = [];
  const ran = await atb(home, ['login', '--json'], (text) => {
    const [, address] = /open (\S+)/.exec(text) ?? [];
    if (address !== undefined) approvals.push(provider.approve(address, name));
  });
  await Promise.all(approvals);
  return ran;
}

describe('atb login', () => {
  it('gives a person their SVID for an hour, with a key that stays on their machine', async () => {
    const ran = await login('bob', 'bob');
    expect(ran).toMatchObject({ exitCode: 0 });
    expect(JSON.parse(ran.stdout)).toMatchObject({ spiffe_id: person('bob') });
    const home = join(stack.directory, 'home', 'bob');
    const svid = new X509Certificate(readFileSync(join(home, 'svid.pem')));
    const lifetime = Date.parse(svid.validTo) - Date.now();
    expect(lifetime).toBeGreaterThan(3_500_000);
    expect(lifetime).toBeLessThanOrEqual(3_600_000);
    expect(statSync(join(home, 'svid-key.pem')).mode & 0o777).toBe(0o600);
    const [event] = await (await stack.ledger()).events({ type: 'person_registered', limit: 1 });
    expect(event).toMatchObject({ actor: person('bob'), data: { certificate: svid.fingerprint256 } });
  });

  it('and from then on they approve without saying who they are', async () => {
    const asked = await stack.as('agent/finance-bot').post('/issue', { act: 'erp.order.create' });
    const id = String(asked.body.request_id);
    const approved = await atb('bob', ['approve', id, '--yes', '--json']);
    expect(approved).toMatchObject({ exitCode: 0 });
    expect((await stack.as('agent/finance-bot').get(`/requests/${id}`)).body).toMatchObject({
      state: 'approved',
      verdicts: [{ by: person('bob') }],
    });
  });

  it('refuses whom the directory does not name, and writes nothing', async () => {
    const ran = await login('nobody', 'nobody');
    expect(ran).toMatchObject({ exitCode: 1 });
    expect(JSON.parse(ran.stdout)).toMatchObject({ code: 'identity_unmapped' });
    expect((await atb('nobody', ['approvals'])).exitCode).toBe(64);
  });

  it('refuses an address that the provider did not verify', async () => {
    expect(JSON.parse((await login('unverified', 'unverified')).stdout)).toMatchObject({
      code: 'identity_unmapped',
    });
  });

  it('says what is missing', async () => {
    const ran = await atb('x', ['login', '--issuer', 'http://127.0.0.1:1']);
    expect(ran).toMatchObject({ exitCode: 69 });
    expect((await atb('x', ['login', '--issuer', 'nonsense'])).exitCode).toBe(64);
  });
});

describe('the registration', () => {
  const call = (body: unknown) => {
    const caller = new HttpCaller(registration.url, readFileSync(stack.trustBundle, 'utf8'));
    return caller.post('/svid', body).finally(() => {
      caller.close();
    });
  };
  const csr = async () => (await newCertificationRequest()).requestPem;
  const claims = { email: 'carol@corp.example', email_verified: true };

  it('takes each ID token once', async () => {
    const body = { id_token: await other.token(claims), csr: await csr() };
    expect(await call(body)).toMatchObject({ status: 201, body: { spiffe_id: person('carol') } });
    expect(await call(body)).toMatchObject({ status: 409, body: { code: 'proof_replayed' } });
  });

  it.each([
    ['without an end (attack 9)', { exp: undefined }, 401, 'token_invalid'],
    ['for another audience (attack 9)', { aud: 'somebody' }, 401, 'token_invalid'],
    ['of somebody unknown', { email: 'x@corp.example' }, 403, 'identity_unmapped'],
    ['of an agent', { sub: 'bot', email: 'x' }, 403, 'identity_unmapped'],
    ['of nobody in the directory', { sub: 'mallory', email: 'x' }, 403, 'identity_unmapped'],
  ])('refuses an ID token %s, and records it', async (_, changes, status, code) => {
    const ledger = await stack.ledger();
    const count = async () =>
      (await ledger.events({ type: 'person_registration_refused', limit: 100 })).length;
    const before = await count();
    const answer = await call({ id_token: await other.token({ ...claims, ...changes }), csr: await csr() });
    expect(answer).toMatchObject({ status, body: { code } });
    expect(await count()).toBe(before + 1);
  });

  it('gives nothing for a request whose signature is not by its key', async () => {
    const pem = await csr();
    const lines = pem.trim().split('\n');
    const der = Buffer.from(lines.slice(1, -1).join(''), 'base64');
    der.writeUInt8(der.readUInt8(der.length - 1) ^ 1, der.length - 1);
    const altered = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----`;
    for (const wrong of [altered, 'nonsense', '']) {
      const answer = await call({ id_token: await other.token(claims), csr: wrong });
      expect(answer).toMatchObject({ status: 400, body: { code: 'certification_request_invalid' } });
    }
  });

  it.each([[{}], [[]], [{ id_token: 1, csr: 2 }], [{ id_token: 'a', csr: 'b', spiffe_id: person('erin') }]])(
    'is a bad request: %j',
    async (body) => {
      expect(await call(body)).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
    },
  );
});
