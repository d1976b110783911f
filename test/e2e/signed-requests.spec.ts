import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { signRequest } from '../../adapters/jose/signed-request';
import type { IdentityEvidence } from '../../domain/mandate-request';
import type { SignedRequestClaims } from '../../domain/signed-request';
import { poaRequestWorkflowId, TASK_QUEUE } from '../../workflows/contract';
import { Approver } from '../support/approver';
import { changedPolicy } from '../support/policy';
import { TestStack } from '../support/stack';
import { LEG, wellGrounded } from '../support/http';

let stack: TestStack;
let bob: Approver;

beforeAll(async () => {
  const policy = await changedPolicy((data) => {
    data.identity.signed_request_tiers = ['medium', 'high', 'critical'];
  });
  stack = await TestStack.start({ ATB_POLICY_DIR: policy });
  bob = new Approver(stack, 'person/bob', 'compliance');
});

afterAll(() => stack.stop());

const TYPE = { 'content-type': 'application/poa-request+jwt' };
const ORDER = { act: 'erp.order.create', con: { params: { order_id: 'SO-7' } } };

function signed(path: string, body: object, name = 'agent/finance-bot'): Promise<string> {
  const { cert, key } = stack.identity(name);
  const chain = [new X509Certificate(readFileSync(cert)).raw];
  return signRequest(createPrivateKey(readFileSync(key)), chain, {
    ...{ aud: 'spiffe://corp.example/agentauth', method: 'POST', path },
    body: (path === '/issue' ? wellGrounded(body) : body) as SignedRequestClaims['body'],
    iat: Math.floor(Date.now() / 1000),
    jti: randomBytes(16).toString('base64url'),
  });
}

const send = (path: string, statement: string, as = 'agent/finance-bot') =>
  stack.as(as).send('POST', path, statement, TYPE);

describe('a signed request', () => {
  it('goes from asking to the mandate', async () => {
    const asked = await send('/issue', await signed('/issue', ORDER));
    expect(asked).toMatchObject({ status: 202, body: { requirement: { signed_request: true } } });
    const id = String(asked.body.request_id);
    await bob.give(id);
    const unsigned = await stack.as('agent/finance-bot').post(`/requests/${id}/collect`);
    expect(unsigned).toMatchObject({ status: 403, body: { code: 'signed_request_required' } });
    const collected = await send(`/requests/${id}/collect`, await signed(`/requests/${id}/collect`, {}));
    expect(collected).toMatchObject({ status: 200, body: { state: 'issued' } });
  });

  it('is what policy wants: the same unsigned is refused, and recorded', async () => {
    const refused = await stack.as('agent/finance-bot').post('/issue', ORDER);
    expect(refused).toMatchObject({ status: 403, body: { code: 'signed_request_required' } });
    expect(await stack.auditTypes(String(refused.body.request_id))).toEqual(['poa_denied']);
  });

  it('is not wanted where policy does not say so', async () => {
    expect((await stack.as('agent/crm-assistant').post('/issue', { act: 'crm.contact.read' })).status).toBe(
      201,
    );
  });

  it('gives a low-tier mandate at once, and counts once', async () => {
    const statement = await signed('/issue', { act: 'crm.contact.read' }, 'agent/crm-assistant');
    expect((await send('/issue', statement, 'agent/crm-assistant')).status).toBe(201);
    const again = await send('/issue', statement, 'agent/crm-assistant');
    expect(again).toMatchObject({ status: 409, body: { code: 'proof_replayed' } });
  });

  it('joins the first with the same key and body, though it was signed again', async () => {
    const headers = { ...TYPE, 'idempotency-key': 'signed-1' };
    const ask = async () =>
      stack.as('agent/finance-bot').send('POST', '/issue', await signed('/issue', ORDER), headers);
    const [first, second] = [await ask(), await ask()];
    expect(second.body.request_id).toBe(first.body.request_id);
  });

  it.each([
    ['by somebody else', 'agent/explorer', '/issue', 403, 'agent_mismatch'],
    ['for another call', 'agent/finance-bot', '/plan', 422, 'signed_request_mismatch'],
  ])('that was signed %s is refused (attack 5)', async (_, signer, path, status, code) => {
    const answer = await send('/issue', await signed(path, ORDER, signer));
    expect(answer).toMatchObject({ status, body: { code } });
  });

  it.each(['', 'nonsense', '{"act":"crm.contact.read"}', 'a.b.c'])(
    'that is %p is a bad request',
    async (text) => {
      expect((await send('/issue', text)).status).toBe(400);
    },
  );

  it('with a fault in its body is told where', async () => {
    const answer = await send('/issue', await signed('/issue', { act: 'erp.order.create', approved: true }));
    expect(answer).toMatchObject({
      status: 400,
      body: { code: 'unknown_field', errors: [{ pointer: '/approved' }] },
    });
  });
});

describe('a compromised AgentAuth, with the codec keys and write access to the namespace', () => {
  /** Starts a request's workflow itself, as AgentAuth does. */
  async function start(evidence: IdentityEvidence, body: { readonly act: string }) {
    const requestId = randomBytes(20).toString('base64url');
    const client = await stack.sealedClient();
    const handle = await client.workflow.start('poaRequest', {
      taskQueue: TASK_QUEUE,
      workflowId: poaRequestWorkflowId(requestId),
      args: [
        {
          requestId,
          forecast: 'issue',
          evidence,
          asked: {
            ...{
              act: body.act,
              con: { params: {}, limits: {} },
              leg: LEG,
              justification: null,
              ticket: null,
            },
            ...{ requiresDualControl: false, approvers: [], ttlSeconds: null },
          },
        },
      ],
    });
    return { requestId, status: (await handle.result()) as { state: string; code: string } };
  }
  const now = () => Math.floor(Date.now() / 1000);

  it('gets nothing with the chain of a real agent and no signature', async () => {
    const { cert } = stack.identity('agent/finance-bot');
    const chain = [new X509Certificate(readFileSync(cert)).raw.toString('base64')];
    const { status, requestId } = await start({ chain, presentedAt: now() }, { act: 'erp.order.create' });
    expect(status).toMatchObject({ state: 'denied', code: 'signed_request_required' });
    expect(await stack.auditTypes(requestId)).toEqual(['poa_denied']);
  });

  it('gets nothing with a signature that the agent gave before', async () => {
    const statement = await signed('/issue', { act: 'crm.contact.read' }, 'agent/crm-assistant');
    await send('/issue', statement, 'agent/crm-assistant');
    const { status } = await start(
      { kind: 'signed_request', statement, presentedAt: now() },
      { act: 'crm.contact.read' },
    );
    expect(status).toMatchObject({ state: 'denied', code: 'proof_replayed' });
  });

  it('gets nothing with another body than was signed', async () => {
    const statement = await signed('/issue', { act: 'crm.contact.read' }, 'agent/crm-assistant');
    const { status } = await start(
      { kind: 'signed_request', statement, presentedAt: now() },
      { act: 'crm.lead.list' },
    );
    expect(status).toMatchObject({ state: 'denied', code: 'signed_request_mismatch' });
  });
});
