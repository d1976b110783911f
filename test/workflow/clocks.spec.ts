import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ATB_ACTION,
  ATB_AGENT,
  ATB_STATE,
  ATB_TIER,
  ATB_WAITING_ON,
  DIGEST,
  poaRequestWorkflowId,
} from '../../workflows/contract';
import { Approver } from '../support/approver';
import { loseLastAnswer } from '../support/lost-answer';
import { policyWithClocks, sendAway } from '../support/policy';
import { TestStack } from '../support/stack';
import { eventually, found } from '../support/eventually';

// Several calls have to get through between two of them, on a machine that stands still for seconds now and then.
const RESPONSE_SECONDS = 8;
const COLLECT_WITHIN_SECONDS = 8;
const DIGEST_SECONDS = 5;

let stack: TestStack;
let bob: Approver;

beforeAll(async () => {
  stack = await TestStack.start({
    // Frank is away; heidi is his deputy.
    ATB_POLICY_DIR: await policyWithClocks(RESPONSE_SECONDS, COLLECT_WITHIN_SECONDS, (data) => {
      sendAway(data, 'frank');
      data.digest.period_seconds = DIGEST_SECONDS;
    }),
  });
  bob = new Approver(stack, 'person/bob', 'compliance');
});

afterAll(() => stack.stop());

const finance = () => stack.as('agent/finance-bot');
const pending = async (act: string) => String((await finance().post('/issue', { act })).body.request_id);
const ended = async (id: string) => {
  const { body } = await eventually(
    () => finance().get(`/requests/${id}?wait=1`),
    ({ body: { state } }) => state !== 'pending' && state !== 'approved',
    250,
  );
  return body;
};

describe('the escalation ladder (operating model §5)', () => {
  it('climbs one rung each response time, tells its people once each, and at last the request expires', async () => {
    const id = await pending('sap.payment.execute');
    expect(await ended(id)).toMatchObject({ state: 'expired', reasons: ['not_approved_in_time'] });
    expect(await stack.auditTypes(id)).toEqual([
      'poa_requested',
      'poa_escalated',
      'poa_escalated',
      'poa_expired',
    ]);
    const told = (await readFile(join(stack.directory, 'notifications.jsonl'), 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { requestId: string; kind: string; roles: string[] })
      .filter(({ requestId, kind }) => requestId === id && /wanted|escalated/.test(kind))
      .map(({ roles }) => roles);
    expect(told).toEqual([
      ['compliance', 'legal', 'manager', 'security', 'security_lead'],
      ['on_call'],
      ['team_lead'],
    ]);
  });

  it('lets those decide whom a rung told, once it told them, and shows them the request', async () => {
    const heidi = new Approver(stack, 'person/heidi', 'team_lead');
    const id = await pending('sap.payment.execute');
    const shown = async () => (await finance().get(`/requests/${id}`)).body;
    expect((await heidi.give(id)).body).toMatchObject({ code: 'verdict_role_not_eligible' });
    const climbed = await eventually(
      shown,
      ({ waiting_on: on }) => (on as string[]).includes('team_lead'),
      250,
    );
    expect(climbed.eligible_approvers).toContain('spiffe://corp.example/person/heidi');
    expect((await stack.as('person/heidi').get('/approvals')).body.approvals).toContainEqual(
      expect.objectContaining({ request_id: id }),
    );
    await heidi.give(id, { reason: 'the others are away' });
    await bob.give(id);
    expect((await finance().post(`/requests/${id}/collect`)).body).toMatchObject({ state: 'issued' });
  });

  it('does not start anew with each verdict', async () => {
    const id = await pending('sap.payment.execute');
    const before = (await finance().get(`/requests/${id}`)).body.expires_at;
    await bob.give(id);
    expect((await finance().get(`/requests/${id}`)).body).toMatchObject({
      state: 'pending',
      expires_at: before,
    });
  });
});

it("waits for the deputy of somebody away, in their role, tells the deputy, and takes the deputy's word", async () => {
  const heidi = new Approver(stack, 'person/heidi', 'legal');
  const id = await pending('sap.payment.execute');
  const { body } = await stack.as('person/heidi').get('/approvals');
  const [request] = (body.approvals as { request_id: string; eligible_approvers: string[] }[]).filter(
    ({ request_id }) => request_id === id,
  );
  expect(request?.eligible_approvers).toContain('spiffe://corp.example/person/heidi');
  expect(request?.eligible_approvers).not.toContain('spiffe://corp.example/person/frank');
  const told = await found(async () =>
    (await readFile(join(stack.directory, 'notifications.jsonl'), 'utf8'))
      .split('\n')
      .find((line) => line.includes(id) && line.endsWith('}')),
  );
  expect(JSON.parse(told)).toMatchObject({
    kind: 'approval_wanted',
    deputies: ['spiffe://corp.example/person/heidi'],
  });
  await heidi.give(id, { reason: 'for frank' });
  // What frank signs all the same is the word of the same person (attack 6).
  const frank = new Approver(stack, 'person/frank', 'legal');
  expect((await frank.give(id)).body).toMatchObject({ code: 'verdict_second_from_person' });
  await bob.give(id);
  const { mandate } = (await finance().post(`/requests/${id}/collect`)).body;
  const [, claims = ''] = String(mandate).split('.');
  expect(JSON.parse(Buffer.from(claims, 'base64url').toString())).toMatchObject({
    leg: {
      dual_control: {
        approvers: expect.arrayContaining([{ id: 'spiffe://corp.example/person/heidi', type: 'legal' }]),
      },
    },
  });
});

it('expires an approved request that nobody collects in time', async () => {
  const id = await pending('erp.order.create');
  await bob.give(id);
  expect(await ended(id)).toMatchObject({ state: 'expired', reasons: ['not_collected_in_time'] });
  expect((await finance().post(`/requests/${id}/collect`)).body).toMatchObject({ code: 'request_finished' });
});

it('ends as issued where the mandate was signed, its answer was lost, and nobody comes again', async () => {
  const id = await pending('erp.order.create');
  await bob.give(id);
  const { jti } = (await finance().post(`/requests/${id}/collect`)).body;
  const handle = await loseLastAnswer(stack, id);
  const { status, typedSearchAttributes } = await eventually(
    () => handle.describe(),
    (run) => run.status.name !== 'RUNNING',
  );
  expect([status.name, typedSearchAttributes.get(ATB_STATE)]).toEqual(['COMPLETED', 'issued']);
  expect((await finance().get(`/requests/${id}`)).body).toMatchObject({ state: 'issued', jti });
  expect((await finance().post(`/requests/${id}/collect`)).body).toMatchObject({ code: 'request_finished' });
  expect(await stack.auditTypes(id)).not.toContain('poa_expired');
});

it('tells an operator in the Temporal UI what a request waits for, and since when', async () => {
  const id = await pending('sap.payment.execute');
  const client = await stack.sealedClient();
  const handle = client.workflow.getHandle(poaRequestWorkflowId(id));
  const metadata = await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata');
  expect(metadata.currentDetails).toContain('Waits for 2 approvals since');
  expect(metadata.currentDetails).toContain('Next: on_call will be told at');
  const { typedSearchAttributes } = await handle.describe();
  expect(typedSearchAttributes.get(ATB_STATE)).toBe('pending');
  expect(typedSearchAttributes.get(ATB_TIER)).toBe('high');
  expect(typedSearchAttributes.get(ATB_ACTION)).toBe('sap.payment.execute');
  expect(typedSearchAttributes.get(ATB_AGENT)).toBe('spiffe://corp.example/agent/finance-bot');
  expect(typedSearchAttributes.get(ATB_WAITING_ON)).toContain('compliance');
});

it('ends as cancelled when an operator cancels it, and records that', async () => {
  const id = await pending('sap.payment.execute');
  const client = await stack.insider();
  await client.workflow.getHandle(poaRequestWorkflowId(id)).cancel();
  expect(await ended(id)).toMatchObject({ state: 'cancelled', reasons: ['cancelled_by_operator'] });
  expect(await stack.auditTypes(id)).toEqual(['poa_requested', 'poa_cancelled']);
});

it('tells the teams that are Informed of what was issued, in one digest a period', async () => {
  const digests = async () =>
    (await readFile(join(stack.directory, 'notifications.jsonl'), 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { id: string; kind: string; roles: string[]; text: string })
      .filter(({ kind }) => kind === 'digest');
  const client = await stack.sealedClient();
  expect((await client.workflow.getHandle(DIGEST).describe()).status.name).toBe('RUNNING');
  const orders = async () => (await digests()).filter(({ text }) => text.includes('medium erp.order.create'));
  const before = (await orders()).length;
  const id = await pending('erp.order.create');
  await bob.give(id);
  await finance().post(`/requests/${id}/collect`);
  const told = (await eventually(orders, ({ length }) => length >= before + 2, 500)).slice(before);
  expect(told.map(({ roles }) => roles)).toEqual([['Broker-Team'], ['Platform-Ops']]);
  const ids = (await digests()).map((digest) => digest.id);
  expect(new Set(ids).size).toBe(ids.length);
});
