import { importMandateJwks } from '../../adapters/jose/mandate-keys';
import { verifyMandate } from '../../adapters/jose/mandate-jws';
import type { MandateClaims } from '../../domain/mandate';
import { poaRequestWorkflowId, verdictSignal } from '../../workflows/contract';
import { Approver } from '../support/approver';
import { eventually } from '../support/eventually';
import { LEG } from '../support/http';
import type { Answer } from '../support/http';
import { TestStack } from '../support/stack';

const ISSUER = 'spiffe://corp.example/agentauth';
const BROKER = 'spiffe://corp.example/broker';
const person = (name: string) => `spiffe://corp.example/person/${name}`;

let stack: TestStack;
let bob: Approver;
let carol: Approver;
let dave: Approver;
let erin: Approver;
let alice: Approver;

beforeAll(async () => {
  stack = await TestStack.start();
  bob = new Approver(stack, 'person/bob', 'compliance');
  carol = new Approver(stack, 'person/carol', 'security');
  dave = new Approver(stack, 'person/dave', 'security_lead');
  erin = new Approver(stack, 'person/erin', 'ciso');
  alice = new Approver(stack, 'person/alice', 'manager');
});

afterAll(() => stack.stop());

const ask = (agent: string, body: Record<string, unknown>, headers?: Record<string, string>) =>
  stack.as(`agent/${agent}`).post('/issue', body, headers);

const PAYMENT = {
  act: 'sap.payment.execute',
  con: { params: { amount: 1250 } },
  leg: { jurisdiction: 'EU' },
};
const ORDER = { act: 'erp.order.create', con: { params: { order_id: 'SO-7' } } };
const ROTATION = {
  act: 'security.master_key.rotate',
  ticket: 'CHG-1001',
  leg: { basis: 'LEGAL', ref: 'GDPR-Art17' },
};

async function pending(agent: string, body: Record<string, unknown>): Promise<string> {
  const asked = await ask(agent, body);
  expect(asked.body).toMatchObject({ state: 'pending' });
  expect(asked.status).toBe(202);
  return String(asked.body.request_id);
}

const collect = (agent: string, id: string) => stack.as(`agent/${agent}`).post(`/requests/${id}/collect`);

async function claimsOf({ body }: Answer): Promise<MandateClaims> {
  const jwks = (await stack.nobody().get('/.well-known/jwks.json')).body;
  return verifyMandate(String(body.mandate), importMandateJwks(jwks), {
    issuer: ISSUER,
    audience: BROKER,
    now: new Date(),
  });
}

describe('low tier', () => {
  it('gives the mandate at once, bound to the certificate, with exactly the documented claims', async () => {
    const answer = await ask('crm-assistant', {
      act: 'crm.contact.read',
      con: { params: { contact_id: 'C-42' } },
      leg: { basis: 'LI', ref: 'LI-2024-001', description: 'Routine system maintenance' },
    });
    expect(answer.status).toBe(201);
    expect(Object.keys(answer.body).sort()).toEqual([
      'expires_at',
      'jti',
      'mandate',
      'request_id',
      'state',
      'tier',
    ]);
    const claims = await claimsOf(answer);
    expect(Object.keys(claims).sort()).toEqual(
      [
        'act',
        'aud',
        'cnf',
        'con',
        'exp',
        'iat',
        'iss',
        'jti',
        'leg',
        'nbf',
        'pol',
        'req',
        'salt',
        'sub',
        'tier',
      ].sort(),
    );
    expect(claims).toMatchObject({
      iss: ISSUER,
      aud: BROKER,
      sub: 'spiffe://corp.example/agent/crm-assistant',
      act: 'crm.contact.read',
      con: { params: { contact_id: 'C-42' }, limits: {} },
      leg: { basis: 'LI', ref: 'LI-2024-001', description: 'Routine system maintenance' },
      tier: 'low',
      req: answer.body.request_id,
    });
    expect(claims.exp - claims.iat).toBe(300);
    expect(Buffer.from(claims.jti, 'base64url').length * 8).toBeGreaterThanOrEqual(128);
    expect(await stack.auditTypes(String(answer.body.request_id))).toEqual(['poa_requested', 'poa_issued']);
  });

  it.each([
    ['LI', { basis: 'LI', ref: 'LI-2024-001', description: 'Routine system maintenance' }],
    ['CONTRACT', { basis: 'CONTRACT', ref: 'MSA-12345', description: 'Fulfill customer order #789' }],
    [
      'CONSENT',
      { basis: 'CONSENT', ref: 'CONSENT-1', data_subject: 'user@example.com', purpose: 'Marketing email' },
    ],
    ['LEGAL', { basis: 'LEGAL', ref: 'GDPR-Art17', description: 'Right to erasure request' }],
  ])('takes the %s template of the operating model §4 as the legal ground', async (_, leg) => {
    const answer = await ask('crm-assistant', { act: 'crm.contact.read', leg });
    expect(answer.status).toBe(201);
    expect((await claimsOf(answer)).leg).toEqual({ ...LEG, ...leg });
  });

  it('gives the agent more control than policy demands when it asks for it', async () => {
    const answer = await ask('crm-assistant', { act: 'crm.contact.read', requires_dual_control: true });
    expect(answer.status).toBe(202);
    expect(answer.body.requirement).toMatchObject({ approvals: 2, dual_control: true });
  });
});

describe('medium tier', () => {
  it('waits for one approver, and states the approval in the mandate as the operating model §3 does', async () => {
    const id = await pending('finance-bot', ORDER);
    expect((await collect('finance-bot', id)).body).toMatchObject({ code: 'not_approved' });
    const verdict = await bob.give(id);
    expect(verdict.status).toBe(200);
    expect(verdict.body).toMatchObject({ state: 'approved' });
    const answer = await collect('finance-bot', id);
    expect(answer.status).toBe(200);
    const { leg } = await claimsOf(answer);
    expect(leg.approval).toEqual({
      approver_id: person('bob'),
      approved_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/) as string,
    });
    expect(await stack.auditTypes(id)).toEqual(['poa_requested', 'poa_verdict_recorded', 'poa_issued']);
  });

  it('gives the same bytes when collected again, and to no other agent (attacks 5, 8)', async () => {
    const id = await pending('finance-bot', ORDER);
    await bob.give(id);
    const first = await collect('finance-bot', id);
    const again = await collect('finance-bot', id);
    expect(again.body.mandate).toBe(first.body.mandate);
    expect((await collect('crm-assistant', id)).body).toMatchObject({ status: 404, code: 'request_unknown' });
  });

  it('counts one mandate a request also when it is collected sixteen times at once (attack 8)', async () => {
    const id = await pending('finance-bot', ORDER);
    await bob.give(id);
    const answers = await Promise.all(Array.from({ length: 16 }, () => collect('finance-bot', id)));
    const mandates = new Set(answers.filter(({ status }) => status === 200).map(({ body }) => body.mandate));
    expect(mandates.size).toBe(1);
    expect((await stack.auditTypes(id)).filter((type) => type === 'poa_issued')).toHaveLength(1);
  });

  it('ends with one reject, and says why', async () => {
    const id = await pending('finance-bot', ORDER);
    expect((await carol.give(id, { verdict: 'reject', reason: 'not this quarter' })).body).toMatchObject({
      state: 'rejected',
    });
    const shown = await stack.as('agent/finance-bot').get(`/requests/${id}`);
    expect(shown.body).toMatchObject({
      state: 'rejected',
      verdicts: [{ verdict: 'reject', reason: 'not this quarter' }],
    });
    expect((await collect('finance-bot', id)).body).toMatchObject({ code: 'request_finished' });
    expect((await bob.give(id)).body).toMatchObject({ code: 'request_finished' });
  });

  it('can be withdrawn by the agent that asked, and by nobody else', async () => {
    const id = await pending('finance-bot', ORDER);
    const stranger = await stack.as('agent/crm-assistant').post(`/requests/${id}/withdraw`);
    expect(stranger.body).toMatchObject({ code: 'request_unknown' });
    expect((await stack.as('agent/finance-bot').post(`/requests/${id}/withdraw`)).body).toMatchObject({
      state: 'withdrawn',
    });
    expect(await stack.auditTypes(id)).toEqual(['poa_requested', 'poa_withdrawn']);
  });
});

describe('high tier', () => {
  it('takes two distinct people, one of them by a signal straight to Temporal', async () => {
    const id = await pending('finance-bot', PAYMENT);
    expect((await bob.give(id)).body).toMatchObject({ state: 'pending', outstanding: { approvals: 1 } });
    const client = await stack.sealedClient();
    const handle = client.workflow.getHandle(poaRequestWorkflowId(id));
    await handle.signal(verdictSignal, { verdict: await carol.sign(id) });
    await eventually(
      () => stack.as('agent/finance-bot').get(`/requests/${id}?wait=10`),
      ({ body }) => body.state === 'approved',
    );
    const answer = await collect('finance-bot', id);
    const claims = await claimsOf(answer);
    expect(claims.leg.dual_control).toEqual({
      required: true,
      approvers: [
        { id: person('bob'), type: 'compliance' },
        { id: person('carol'), type: 'security' },
      ],
    });
    expect(claims.exp - claims.iat).toBe(120);
    expect(claims.con.limits).toEqual({ payment_limit: 100000 });
    const ledger = await stack.ledger();
    const [issued] = await ledger.events({ requestId: id, type: 'poa_issued_dual_control', limit: 2 });
    expect(issued?.data.approvers).toEqual([person('bob'), person('carol')]);
  });

  it('is not satisfied by the same person twice (attacks 3, 4)', async () => {
    const id = await pending('finance-bot', PAYMENT);
    await bob.give(id);
    expect((await bob.give(id)).body).toMatchObject({ status: 409, code: 'verdict_second_from_person' });
    expect((await collect('finance-bot', id)).body).toMatchObject({ code: 'not_approved' });
  });

  it('counts two approvals at the same instant as two, and loses none (attack 10)', async () => {
    const id = await pending('finance-bot', PAYMENT);
    const statements = await Promise.all([bob.sign(id), carol.sign(id), dave.sign(id)]);
    const [first, second] = await Promise.all([
      bob.submit(id, statements[0]),
      carol.submit(id, statements[1]),
    ]);
    expect([first.status, second.status]).toEqual([200, 200]);
    expect((await stack.as('agent/finance-bot').get(`/requests/${id}`)).body).toMatchObject({
      state: 'approved',
    });
  });

  it("refuses the agent's owner, who would be the requester (attack 6)", async () => {
    const id = await pending('finance-bot', PAYMENT);
    expect((await alice.give(id)).body).toMatchObject({ status: 403, code: 'verdict_not_independent' });
  });

  it('narrows the ceilings as asked, and refuses wider ones', async () => {
    const narrow = await ask('finance-bot', {
      ...PAYMENT,
      con: { params: { amount: 5 }, limits: { payment_limit: 10 } },
    });
    expect((narrow.body.to_approve as { con: unknown }).con).toEqual({
      params: { amount: 5 },
      limits: { payment_limit: 10 },
    });
    const wide = await ask('finance-bot', {
      ...PAYMENT,
      con: { params: { amount: 5 }, limits: { payment_limit: 1e6 } },
    });
    expect(wide.body).toMatchObject({ status: 403, code: 'limit_wider' });
  });

  it('ends with one reject, whose reason stays, and no approval undoes it', async () => {
    const id = await pending('finance-bot', PAYMENT);
    await bob.give(id);
    const late = await dave.sign(id);
    const no = await carol.give(id, { verdict: 'reject', reason: 'the account is not known' });
    expect(no.body).toMatchObject({ state: 'rejected' });
    expect((await dave.submit(id, late)).body).toMatchObject({ code: 'request_finished' });
    // Nor does the one who rejected, with another word.
    expect((await carol.give(id)).status).toBeGreaterThanOrEqual(400);
    expect((await stack.as('agent/finance-bot').get(`/requests/${id}`)).body).toMatchObject({
      state: 'rejected',
      verdicts: [{ verdict: 'approve' }, { verdict: 'reject', reason: 'the account is not known' }],
    });
    expect((await collect('finance-bot', id)).status).toBeGreaterThanOrEqual(400);
    expect(await stack.auditTypes(id)).not.toContain('poa_issued_dual_control');
  });

  it('ends with a no of Security also when it is approved, as long as nobody collected', async () => {
    const id = await pending('finance-bot', PAYMENT);
    await bob.give(id);
    expect((await dave.give(id)).body).toMatchObject({ state: 'approved' });
    const no = await carol.give(id, { verdict: 'reject', reason: 'the account is not known' });
    expect(no.body).toMatchObject({ state: 'rejected' });
    expect((await collect('finance-bot', id)).body).toMatchObject({ code: 'request_finished' });
    expect(await stack.auditTypes(id)).toContain('poa_rejected');
  });

  it('counts only the nominated approvers', async () => {
    const id = await pending('finance-bot', { ...PAYMENT, approvers: [person('bob'), person('dave')] });
    expect((await carol.give(id)).body).toMatchObject({ code: 'verdict_not_nominated' });
    await bob.give(id);
    expect((await dave.give(id)).body).toMatchObject({ state: 'approved' });
  });
});

describe('critical tier', () => {
  it('takes two people, an open ticket and the release by a third', async () => {
    const id = await pending('explorer', ROTATION);
    expect((await erin.give(id, { verdict: 'release' })).body).toMatchObject({ code: 'release_not_due' });
    await bob.give(id);
    expect((await dave.give(id)).body).toMatchObject({
      state: 'pending',
      outstanding: { approvals: 0, release: true },
    });
    expect((await dave.give(id, { verdict: 'release' })).body).toMatchObject({
      code: 'verdict_second_from_person',
    });
    expect((await collect('explorer', id)).body).toMatchObject({ code: 'not_approved' });
    expect((await erin.give(id, { verdict: 'release' })).body).toMatchObject({ state: 'approved' });
    const claims = await claimsOf(await collect('explorer', id));
    expect(claims.exp - claims.iat).toBe(60);
    expect(claims.leg).toMatchObject({
      ticket: 'CHG-1001',
      manual_release: { releaser_id: person('erin'), type: 'ciso' },
      dual_control: { required: true },
    });
  });

  it.each([
    ['without a ticket', undefined, 'ticket_missing'],
    ['with a closed ticket', 'CHG-1002', 'ticket_not_open'],
    ['with an unknown ticket', 'CHG-9999', 'ticket_not_open'],
    ["with a ticket named like an object's own member", 'constructor', 'ticket_not_open'],
  ])('is refused %s', async (_, ticket, code) => {
    const answer = await ask('explorer', { ...ROTATION, ticket });
    expect(answer.body).toMatchObject({ status: 403, code });
  });
});

describe('repeats', () => {
  it('gives the same mandate for the same key and body, also at once', async () => {
    const headers = { 'idempotency-key': 'same-1' };
    const body = { act: 'crm.contact.read', con: { params: { contact_id: 'C-1' } } };
    const answers = await Promise.all(Array.from({ length: 4 }, () => ask('crm-assistant', body, headers)));
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201]);
    expect(new Set(answers.map((answer) => answer.body.mandate)).size).toBe(1);
  });

  it('refuses the same key with another body, and keeps keys apart by caller', async () => {
    const headers = { 'idempotency-key': 'same-2' };
    const first = await ask('crm-assistant', { act: 'crm.contact.read' }, headers);
    expect((await ask('crm-assistant', { act: 'crm.lead.read' }, headers)).body).toMatchObject({
      status: 422,
      code: 'idempotency_key_reused',
    });
    const other = await ask('explorer', { act: 'crm.contact.read' }, headers);
    expect(other.status).toBe(201);
    expect(other.body.request_id).not.toBe(first.body.request_id);
  });

  it('answers a pending request again with where it stands', async () => {
    const headers = { 'idempotency-key': 'same-3' };
    const first = await ask('finance-bot', PAYMENT, headers);
    await bob.give(String(first.body.request_id));
    const again = await ask('finance-bot', PAYMENT, headers);
    expect(again.status).toBe(202);
    expect(again.body).toMatchObject({ request_id: first.body.request_id, outstanding: { approvals: 1 } });
  });
});

describe('who may see what (attack 13)', () => {
  it('shows a request to its agent and its approvers, and hides it from everybody else', async () => {
    const id = await pending('finance-bot', PAYMENT);
    expect((await stack.as('agent/finance-bot').get(`/requests/${id}`)).status).toBe(200);
    expect((await stack.as('person/bob').get(`/requests/${id}`)).body.to_approve).toMatchObject({ req: id });
    for (const stranger of ['agent/hr-helper', 'person/grace', 'person/heidi']) {
      expect((await stack.as(stranger).get(`/requests/${id}`)).body).toMatchObject({
        code: 'request_unknown',
      });
    }
    expect((await stack.as('person/bob').get('/requests/AAAAAAAAAAAAAAAAAAAAAAAAAAA')).body).toMatchObject({
      code: 'request_unknown',
    });
  });

  it('lists what waits for me, and nothing that waits for others only', async () => {
    const id = await pending('finance-bot', ORDER);
    const listed = async (name: string) =>
      ((await stack.as(name).get('/approvals')).body.approvals as { request_id: string }[]).map(
        ({ request_id }) => request_id,
      );
    await eventually(
      () => listed('person/bob'),
      (ids) => ids.includes(id),
    );
    expect(await listed('person/alice')).not.toContain(id);
    expect(await listed('person/grace')).not.toContain(id);
  });

  it('never shows the mandate but to whoever collects it', async () => {
    const answer = await ask('crm-assistant', { act: 'crm.contact.read' });
    const shown = await stack.as('agent/crm-assistant').get(`/requests/${String(answer.body.request_id)}`);
    expect(shown.body).toMatchObject({ state: 'issued', jti: answer.body.jti });
    expect(JSON.stringify(shown.body)).not.toContain(String(answer.body.mandate).slice(-40));
  });
});

describe('plan', () => {
  it('says what it would take, and starts nothing', async () => {
    const plan = (agent: string, body: unknown) => stack.as(`agent/${agent}`).post('/plan', body);
    expect((await plan('crm-assistant', { act: 'crm.contact.read' })).body).toMatchObject({
      effect: 'issue',
      tier: 'low',
    });
    const high = await plan('finance-bot', PAYMENT);
    expect(high.status).toBe(200);
    expect(high.body).toMatchObject({
      effect: 'require',
      tier: 'high',
      limits: { payment_limit: 100000 },
      requirement: { approvals: 2, attest: [] },
    });
    expect(high.body.eligible_approvers).not.toContain(person('alice'));
    expect((await plan('finance-bot', { act: 'no.such.action' })).body).toMatchObject({
      effect: 'deny',
      reasons: ['unknown_action'],
    });
  });
});

describe('what became of a mandate', () => {
  it('is active until it is revoked by its agent; another agent can neither look nor revoke', async () => {
    const { body } = await ask('crm-assistant', { act: 'crm.contact.read' });
    const token = String(body.mandate);
    const agent = stack.as('agent/crm-assistant');
    expect((await agent.form('/introspect', { token })).body).toMatchObject({ active: true, jti: body.jti });
    const other = stack.as('agent/hr-helper');
    expect((await other.form('/introspect', { token })).body).toEqual({ active: false });
    expect((await other.form('/revoke', { token })).body).toMatchObject({ code: 'agent_mismatch' });
    expect((await agent.form('/revoke', { token })).status).toBe(200);
    expect((await agent.form('/introspect', { token })).body).toEqual({ active: false });
    expect(await stack.auditTypes(String(body.request_id))).toContain('poa_revoked');
  });

  it('can be revoked by Security, and a token that is none counts as revoked (RFC 7009 §2.2)', async () => {
    const { body } = await ask('crm-assistant', { act: 'crm.contact.read' });
    expect((await stack.as('person/dave').form('/revoke', { token: String(body.mandate) })).status).toBe(200);
    expect((await stack.as('person/dave').form('/revoke', { token: 'a.b.c' })).status).toBe(200);
    expect((await stack.as('person/dave').form('/introspect', { token: 'a.b.c' })).body).toEqual({
      active: false,
    });
  });
});

describe('documents', () => {
  it('serves keys, metadata and the description to everybody, without private parts', async () => {
    const jwks = await stack.nobody().get('/.well-known/jwks.json');
    expect(JSON.stringify(jwks.body)).not.toContain('"d"');
    const metadata = await stack.nobody().get('/.well-known/agentauth-configuration');
    expect(metadata.body).toMatchObject({ issuer: ISSUER });
    expect((await stack.nobody().get('/openapi.json')).body).toMatchObject({ openapi: '3.1.0' });
  });

  it('describes exactly the calls that there are', async () => {
    const { paths } = (await stack.nobody().get('/openapi.json')).body as { paths: Record<string, object> };
    const agent = stack.as('agent/explorer');
    for (const [path, operations] of Object.entries(paths)) {
      for (const method of Object.keys(operations)) {
        const answer = await agent.send(method.toUpperCase(), path.replace('{id}', 'A'.repeat(27)));
        expect([path, answer.body.code]).not.toEqual([path, 'not_found']);
      }
    }
    expect((await agent.get('/no/such/call')).body).toMatchObject({ code: 'not_found' });
  });
});

it('keeps nothing readable in the histories: no name, no parameter, no mandate', async () => {
  const answer = await ask('crm-assistant', {
    act: 'crm.contact.read',
    justification: 'a very telling reason',
  });
  const insider = await stack.insider();
  const handle = insider.workflow.getHandle(poaRequestWorkflowId(String(answer.body.request_id)));
  const history = JSON.stringify(await handle.fetchHistory(), (_, value: unknown) =>
    value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : value,
  );
  expect(history).not.toContain('telling');
  expect(history).not.toContain(String(answer.body.mandate).slice(0, 40));
  expect(history.length).toBeGreaterThan(500);
});
