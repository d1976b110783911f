import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { createDevelopmentCa, issueSvid } from '../../adapters/spiffe/development-ca';
import type { DevelopmentCa, SvidProfile } from '../../adapters/spiffe/development-ca';
import { Approver } from '../support/approver';
import { HttpCaller } from '../support/http';
import type { Answer } from '../support/http';
import { TestStack } from '../support/stack';

let stack: TestStack;
let ca: DevelopmentCa;
let bob: Approver;

beforeAll(async () => {
  stack = await TestStack.start();
  ca = {
    trustDomain: 'corp.example',
    certificatePem: readFileSync(stack.trustBundle, 'utf8'),
    privateKeyPem: readFileSync(join(stack.directory, 'ca-key.pem'), 'utf8'),
  };
  bob = new Approver(stack, 'person/bob', 'compliance');
});

afterAll(() => stack.stop());

const FINANCE_BOT = 'spiffe://corp.example/agent/finance-bot';
const person = (name: string) => `spiffe://corp.example/person/${name}`;
const READ = { act: 'crm.contact.read' };

function members(count: number): Record<string, number> {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [`m${index}`, index]));
}

function expectProblem(answer: Answer, status: number, code: string): void {
  expect(answer.body).toMatchObject({ status, code });
  expect(answer.status).toBe(status);
  expect(answer.headers['content-type']).toContain('application/problem+json');
}

async function callerWith(profile: Partial<SvidProfile>, authority: DevelopmentCa = ca): Promise<HttpCaller> {
  const svid = await issueSvid(authority, { spiffeId: FINANCE_BOT, ttlHours: 1, ...profile });
  const identity = { cert: svid.chainPem, key: svid.privateKeyPem };
  return new HttpCaller(stack.stack.agentauthUrl, readFileSync(stack.trustBundle, 'utf8'), identity);
}

describe('the caller (attacks 1, 25)', () => {
  it('is refused without a client certificate', async () => {
    expectProblem(await stack.nobody().post('/issue', READ), 401, 'certificate_missing');
  });

  it('is refused with a certificate of another authority', async () => {
    const caller = await callerWith({}, await createDevelopmentCa('corp.example', 1));
    expectProblem(await caller.post('/issue', READ), 401, 'untrusted_svid');
    caller.close();
  });

  it('is refused with an SVID of another trust domain', async () => {
    const caller = await callerWith(
      { spiffeId: 'spiffe://evil.example/agent/finance-bot' },
      await createDevelopmentCa('evil.example', 1),
    );
    expectProblem(await caller.post('/issue', READ), 401, 'trust_domain_unknown');
    caller.close();
  });

  it.each<[string, Partial<SvidProfile>, string]>([
    ['expired', { notBefore: new Date(0), notAfter: new Date(1_000_000) }, 'certificate_expired'],
    [
      'of tomorrow',
      { notBefore: new Date(Date.now() + 86_400_000), ttlHours: 48 },
      'certificate_not_yet_valid',
    ],
    ['without a URI', { uriSans: [], dnsNames: ['finance-bot'] }, 'svid_malformed'],
    ['with two URIs', { uriSans: [FINANCE_BOT, person('bob')] }, 'svid_malformed'],
    ['with a dotted path', { uriSans: ['spiffe://corp.example/agent/../person/bob'] }, 'spiffe_id_malformed'],
    [
      'with a percent-encoded path',
      { uriSans: ['spiffe://corp.example/agent%2Ffinance-bot'] },
      'spiffe_id_malformed',
    ],
    [
      'with an upper-case path (attack 4)',
      { uriSans: ['spiffe://corp.example/agent/Finance-Bot'] },
      'spiffe_id_malformed',
    ],
    [
      'with an upper-case trust domain',
      { uriSans: ['spiffe://CORP.example/agent/finance-bot'] },
      'spiffe_id_malformed',
    ],
  ])('is refused with an SVID %s', async (_, profile, code) => {
    const caller = await callerWith(profile);
    expectProblem(await caller.post('/issue', READ), 401, code);
    caller.close();
  });

  it('is who the certificate says, whatever the headers and the body claim (attacks 5, 11)', async () => {
    const answer = await stack
      .as('agent/hr-helper')
      .post(
        '/issue',
        { act: 'sap.payment.execute' },
        { 'x-forwarded-for': '10.0.0.1', 'x-spiffe-id': FINANCE_BOT },
      );
    expectProblem(answer, 403, 'agent_not_allowed');
    expectProblem(
      await stack.as('agent/hr-helper').post('/issue', { ...READ, sub: FINANCE_BOT }),
      400,
      'unknown_field',
    );
  });
});

describe('the body', () => {
  const raw = (body: string | Buffer, contentType = 'application/json') =>
    stack.as('agent/finance-bot').send('POST', '/issue', body, { 'content-type': contentType });

  it.each([
    ['not JSON', 'act=crm.contact.read', 400, 'body_not_json'],
    ['empty', '', 400, 'body_not_json'],
    ['with trailing data (attack 17)', '{"act":"crm.contact.read"} {"act":"x.y"}', 400, 'body_not_json'],
    [
      'larger than 64 KiB',
      JSON.stringify({ ...READ, justification: 'x'.repeat(70_000) }),
      413,
      'body_too_large',
    ],
    [
      'too deep',
      `{"act":"crm.contact.read","con":{"params":${'{"a":'.repeat(40)}1${'}'.repeat(40)}}}`,
      400,
      'body_too_deep',
    ],
    ['with a key twice', '{"act":"crm.contact.read","act":"sap.payment.execute"}', 400, 'duplicate_key'],
    ['with a key twice, once escaped', '{"act":"crm.contact.read","\\u0061ct":"x.y"}', 400, 'duplicate_key'],
    ['with a lone surrogate', '{"act":"crm.contact.read","justification":"\\ud800"}', 400, 'lone_surrogate'],
    ['with 1e400', '{"act":"crm.contact.read","con":{"params":{"amount":1e400}}}', 400, 'number_not_exact'],
    [
      'with 9007199254740993',
      '{"act":"crm.contact.read","con":{"params":{"amount":9007199254740993}}}',
      400,
      'number_not_exact',
    ],
    [
      'with a thousand parameters',
      JSON.stringify({ ...READ, con: { params: members(1_000) } }),
      400,
      'invalid_request',
    ],
    [
      'with a thousand limits',
      JSON.stringify({ ...READ, con: { limits: members(1_000) } }),
      400,
      'limits_malformed',
    ],
    ['with an unknown field', '{"act":"crm.contact.read","bypass_rate_limit":true}', 400, 'unknown_field'],
    ['a list', '[]', 400, 'invalid_request'],
    ['null', 'null', 400, 'invalid_request'],
    ['with a null field', '{"act":"crm.contact.read","ticket":null}', 400, 'invalid_request'],
  ])('is refused when %s', async (_, body, status, code) => {
    expectProblem(await raw(body), status, code);
  });

  it('is refused in another media type, also as a form (attack 26)', async () => {
    expectProblem(await raw('{"act":"crm.contact.read"}', 'text/plain'), 415, 'media_type_unsupported');
    expectProblem(
      await raw('act=crm.contact.read', 'application/x-www-form-urlencoded'),
      400,
      'invalid_request',
    );
  });

  it('is refused where it is no UTF-8', async () => {
    expectProblem(await raw(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d])), 400, 'body_not_utf8');
  });

  it('is refused with every fault listed, each with its pointer (RFC 6901)', async () => {
    const answer = await stack.as('agent/finance-bot').post('/issue', { act: 'X', ttl_seconds: 0, 'a/b': 1 });
    expect(answer.status).toBe(400);
    const errors = answer.body.errors as { pointer: string; code: string }[];
    expect(errors.map(({ pointer }) => pointer)).toEqual(
      expect.arrayContaining(['/act', '/ttl_seconds', '/a~1b']),
    );
  });

  it.each([
    ['empty', '', 400, 'action_malformed'],
    ['with look-alike letters', 'crm.cоntact.read', 400, 'action_malformed'],
    ['with a zero-width letter', 'crm.contact\u200b.read', 400, 'action_malformed'],
    ['in upper case', 'CRM.CONTACT.READ', 400, 'action_malformed'],
    ['unknown (attack 18)', 'crm.contact.teleport', 403, 'unknown_action'],
    ["named like an object's own member", 'constructor.prototype', 403, 'unknown_action'],
  ])('is refused with an action %s', async (_, act, status, code) => {
    expectProblem(await stack.as('agent/explorer').post('/issue', { act }), status, code);
  });

  it.each([
    [0, 'ttl_malformed'],
    [-1, 'ttl_malformed'],
    [1.5, 'ttl_malformed'],
    [301, 'ttl_above_cap'],
    [86_400, 'ttl_above_cap'],
  ])('is refused with a lifetime of %s seconds', async (ttl, code) => {
    expectProblem(await stack.as('agent/explorer').post('/issue', { ...READ, ttl_seconds: ttl }), 400, code);
  });

  it('may ask for a shorter lifetime', async () => {
    const { body } = await stack.as('agent/explorer').post('/issue', { ...READ, ttl_seconds: 30 });
    const claims = JSON.parse(
      Buffer.from(String(body.mandate).split('.')[1] ?? '', 'base64url').toString(),
    ) as {
      iat: number;
      exp: number;
    };
    expect(claims.exp - claims.iat).toBe(30);
  });

  it.each([
    ['one', [person('bob')], 'approvers_too_few'],
    ['none', [], 'approvers_too_few'],
    ['the same twice', [person('bob'), person('bob')], 'approvers_not_distinct'],
    ['a principal and their deputy (attack 4)', [person('frank'), person('heidi')], 'approvers_not_distinct'],
    ['the requester', [FINANCE_BOT, person('bob')], 'approver_is_requester'],
    ["the requester's owner", [person('alice'), person('bob')], 'approver_is_requester'],
    ['somebody unknown', [person('mallory'), person('bob')], 'approver_unknown'],
  ])('is refused with approvers that are %s', async (_, approvers, code) => {
    const answer = await stack
      .as('agent/finance-bot')
      .post('/issue', { act: 'sap.payment.execute', approvers });
    expectProblem(answer, 400, code);
  });

  it.each([
    [
      'leg.approval',
      { leg: { approval: { approver_id: person('bob'), approved_at: '2024-01-15T10:00:00Z' } } },
    ],
    ['leg.dual_control', { leg: { dual_control: { required: true, approvers: [] } } }],
    ['leg.manual_release', { leg: { manual_release: {} } }],
    ['an approval beside the leg', { approval: { approver_id: person('bob') } }],
    ['dual_control beside the leg', { dual_control: { required: false } }],
  ])('is refused when it brings its own %s (attack 7)', async (_, more) => {
    const answer = await stack.as('agent/finance-bot').post('/issue', { act: 'erp.order.create', ...more });
    expectProblem(answer, 400, 'self_asserted_approval');
  });

  it('is refused with any invented sibling of the approvals (attack 7)', async () => {
    const answer = await stack
      .as('agent/finance-bot')
      .post('/issue', { act: 'erp.order.create', leg: { pre_approved: true } });
    expectProblem(answer, 400, 'unknown_field');
  });

  it('is refused with every fault that policy finds, each with its pointer (attacks 20, 22)', async () => {
    const answer = await stack.as('agent/finance-bot').postExactly('/issue', {
      act: 'sap.payment.execute',
      con: { params: { amount: '1,000,000', bypass_rate_limit: true } },
      leg: { jurisdiction: 'XX', basis: 'LI' },
    });
    expectProblem(answer, 403, 'policy_denied');
    const errors = answer.body.errors as { pointer: string; code: string }[];
    expect(errors.map(({ pointer, code }) => `${pointer} ${code}`).sort()).toEqual([
      '/con/params/amount param_mistyped',
      '/con/params/bypass_rate_limit param_unknown',
      '/leg/accountable_party leg_incomplete',
      '/leg/jurisdiction jurisdiction_unknown',
      '/leg/ref leg_incomplete',
    ]);
    const shown = await stack.as('agent/finance-bot').get(`/requests/${String(answer.body.request_id)}`);
    expect(shown.body.errors).toEqual(errors);
    const plan = await stack.as('agent/finance-bot').postExactly('/plan', { act: 'crm.contact.read' });
    expect(plan.body).toMatchObject({ effect: 'deny', reasons: ['leg_incomplete'] });
  });

  it.each([
    ['an agent', { type: 'employee', id: 'agent/finance-bot' }, 'accountable_party_is_agent'],
    ['nobody that we know', { type: 'person', id: person('mallory') }, 'accountable_party_unknown'],
  ])('is refused where %s is accountable', async (_, accountable_party, code) => {
    const answer = await stack.as('agent/explorer').post('/issue', { ...READ, leg: { accountable_party } });
    expectProblem(answer, 403, code);
  });

  it('is of a higher tier than its action where context says so, and says why', async () => {
    const asked = await stack
      .as('agent/crm-assistant')
      .post('/issue', { ...READ, leg: { purpose: 'credit scoring' } });
    expect(asked).toMatchObject({ status: 202, body: { tier: 'high', requirement: { approvals: 2 } } });
    expect(asked.body.tier_reasons).toEqual([expect.stringMatching(/^high: personal data/)]);
  });

  it('is refused with an Idempotency-Key that cannot be one', async () => {
    const answer = await stack
      .as('agent/explorer')
      .post('/issue', READ, { 'idempotency-key': 'x'.repeat(300) });
    expectProblem(answer, 400, 'idempotency_key_malformed');
  });
});

describe('verdicts', () => {
  const ORDER = { act: 'erp.order.create', con: { params: { order_id: 'SO-7' } } };
  const pending = async () =>
    String((await stack.as('agent/finance-bot').post('/issue', ORDER)).body.request_id);
  const standing = async (id: string) => (await stack.as('agent/finance-bot').get(`/requests/${id}`)).body;

  it('are refused for an unknown request', async () => {
    const id = randomBytes(20).toString('base64url');
    const statement = await bob.sign(id);
    expectProblem(await bob.submit(id, statement), 404, 'request_unknown');
  });

  it("are refused for somebody else's request", async () => {
    const [one, other] = [await pending(), await pending()];
    expectProblem(await bob.submit(other, await bob.sign(one)), 422, 'verdict_not_for_request');
  });

  it('are refused when sent twice', async () => {
    const id = String(
      (await stack.as('agent/finance-bot').post('/issue', { act: 'sap.payment.execute' })).body.request_id,
    );
    const statement = await bob.sign(id);
    await bob.submit(id, statement);
    expectProblem(await bob.submit(id, statement), 409, 'verdict_already_used');
  });

  it('are refused when changed after signing', async () => {
    const id = await pending();
    const [header, payload, signature] = (await bob.sign(id, { verdict: 'reject' })).split('.');
    const claims = JSON.parse(Buffer.from(payload ?? '', 'base64url').toString()) as object;
    const changed = Buffer.from(JSON.stringify({ ...claims, verdict: 'approve' })).toString('base64url');
    expectProblem(
      await bob.submit(id, `${header}.${changed}.${signature}`),
      422,
      'verdict_signature_invalid',
    );
  });

  it.each([
    ['with an old date', { iat: Math.floor(Date.now() / 1000) - 3_600 }, 422, 'verdict_stale'],
    ['with a date to come', { iat: Math.floor(Date.now() / 1000) + 3_600 }, 422, 'verdict_from_future'],
    ['of 1970', { iat: 0 }, 422, 'verdict_stale'],
    ['over other content', { dig: 'A'.repeat(43) }, 422, 'verdict_digest_mismatch'],
    ['in a role that the person does not hold (attack 9)', { role: 'manager' }, 403, 'verdict_role_not_held'],
    ['that release what needs no release', { verdict: 'release' as const }, 409, 'release_not_due'],
  ])('are refused %s, and change nothing', async (_, changes, status, code) => {
    const id = await pending();
    const before = await standing(id);
    expectProblem(await bob.give(id, changes), status, code);
    expect(await standing(id)).toEqual(before);
    expect(await stack.auditTypes(id)).toContain('poa_verdict_refused');
  });

  it('are refused by someone without an approving role', async () => {
    const id = await pending();
    const grace = new Approver(stack, 'person/grace', 'platform_ops');
    const content = (await stack.as('person/bob').get(`/requests/${id}`)).body.to_approve;
    expect(content).toBeDefined();
    const bobsDigest = JSON.parse(
      Buffer.from((await bob.sign(id)).split('.')[1] ?? '', 'base64url').toString(),
    ) as { dig: string };
    expectProblem(await grace.give(id, { dig: bobsDigest.dig }), 403, 'verdict_role_not_eligible');
  });

  it('are refused once the request is finished', async () => {
    const id = await pending();
    const statement = await bob.sign(id);
    await stack.as('agent/finance-bot').post(`/requests/${id}/withdraw`);
    expectProblem(await bob.submit(id, statement), 409, 'request_finished');
  });

  it.each([['a.b'], ['not a jws'], ['{}'], ['a.b.c']])('are refused when they are %j', async (verdict) => {
    const id = await pending();
    expectProblem(await bob.submit(id, verdict), 400, 'verdict_malformed');
  });

  it('are signed by the caller of nobody else: who carries it does not matter, who signed does (attack 3)', async () => {
    const id = await pending();
    const statement = await bob.sign(id);
    const answer = await stack.as('person/carol').post(`/requests/${id}/verdicts`, { verdict: statement });
    expect(answer.body).toMatchObject({ verdicts: [{ by: person('bob') }] });
  });
});
