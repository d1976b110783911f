import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readCodecKeys } from '../../adapters/temporal/codec-keys';
import {
  poaRequestWorkflowId,
  policyMovedSignal,
  RETENTION,
  TASK_QUEUE,
  verdictSignal,
} from '../../workflows/contract';
import { Approver } from '../support/approver';
import { openedHistory } from '../support/history';
import { policyWithClocks } from '../support/policy';
import { TestStack } from '../support/stack';

const FOLDER = 'test/replay/histories';

let stack: TestStack;
let bob: Approver;
let carol: Approver;
let dave: Approver;
let erin: Approver;

beforeAll(async () => {
  stack = await TestStack.start({ ATB_POLICY_DIR: await policyWithClocks(3, 3) });
  bob = new Approver(stack, 'person/bob', 'compliance');
  carol = new Approver(stack, 'person/carol', 'security');
  dave = new Approver(stack, 'person/dave', 'security_lead');
  erin = new Approver(stack, 'person/erin', 'ciso');
}, 120_000);

afterAll(() => stack.stop());

const ask = async (agent: string, body: object) =>
  String((await stack.as(`agent/${agent}`).post('/issue', body)).body.request_id);
const collect = (agent: string, id: string) => stack.as(`agent/${agent}`).post(`/requests/${id}/collect`);

/** Every path that a request can take. A recorded one is never recorded over. */
const PATHS: Record<string, () => Promise<string>> = {
  'low-issued': () => ask('crm-assistant', { act: 'crm.contact.read' }),
  denied: () => ask('crm-assistant', { act: 'sap.payment.execute' }),
  'medium-issued': async () => {
    const id = await ask('finance-bot', { act: 'erp.order.create' });
    await bob.give(id);
    await collect('finance-bot', id);
    return id;
  },
  'high-issued-by-signal': async () => {
    const id = await ask('finance-bot', { act: 'sap.payment.execute' });
    await bob.give(id);
    const handle = (await stack.sealedClient()).workflow.getHandle(poaRequestWorkflowId(id));
    await handle.signal(verdictSignal, { verdict: await carol.sign(id) });
    await stack.as('agent/finance-bot').get(`/requests/${id}?wait=10`);
    await collect('finance-bot', id);
    return id;
  },
  'high-collected-at-once': async () => {
    const id = await ask('finance-bot', { act: 'sap.payment.execute' });
    await Promise.all([bob.give(id), carol.give(id), dave.give(id)]);
    await Promise.all(Array.from({ length: 8 }, () => collect('finance-bot', id)));
    return id;
  },
  'critical-released': async () => {
    const id = await ask('explorer', { act: 'security.master_key.rotate', ticket: 'CHG-1001' });
    await bob.give(id);
    await dave.give(id);
    await erin.give(id, { verdict: 'release' });
    await collect('explorer', id);
    return id;
  },
  'verdict-refused-then-rejected': async () => {
    const id = await ask('finance-bot', { act: 'erp.order.create' });
    await bob.give(id, { role: 'ciso' });
    await carol.give(id, { verdict: 'reject', reason: 'no' });
    return id;
  },
  withdrawn: async () => {
    const id = await ask('finance-bot', { act: 'erp.order.create' });
    await stack.as('agent/finance-bot').post(`/requests/${id}/withdraw`);
    return id;
  },
  'escalated-and-expired': () => ask('finance-bot', { act: 'sap.payment.execute' }),
  'reminded-and-expired': () => ask('finance-bot', { act: 'sap.payment.execute' }),
  'policy-moved': async () => {
    const id = await ask('finance-bot', { act: 'sap.payment.execute' });
    await bob.give(id);
    const handle = (await stack.sealedClient()).workflow.getHandle(poaRequestWorkflowId(id));
    await handle.signal(policyMovedSignal, { revision: 'another' });
    await carol.give(id);
    await collect('finance-bot', id);
    return id;
  },
  'noise-then-rejected': async () => {
    const id = await ask('finance-bot', { act: 'erp.order.create' });
    const handle = (await stack.insider()).workflow.getHandle(poaRequestWorkflowId(id));
    for (let sent = 0; sent < 45; sent++) await handle.signal('verdict', `noise ${sent}`);
    await carol.give(id, { verdict: 'reject', reason: 'no' });
    return id;
  },
  'approved-and-expired': async () => {
    const id = await ask('finance-bot', { act: 'erp.order.create' });
    await bob.give(id);
    return id;
  },
  'bare-signal-then-cancelled': async () => {
    const id = await ask('finance-bot', { act: 'erp.order.create' });
    const handle = (await stack.insider()).workflow.getHandle(poaRequestWorkflowId(id));
    await handle.signal('verdict', { verdict: 'approve' });
    await handle.signal('approve');
    await new Promise((resolve) => setTimeout(resolve, 500));
    await handle.cancel();
    return id;
  },
  'store-down-for-a-while': async () => {
    await stack.stack.parts.postgres.stop();
    const answer = await stack.as('agent/crm-assistant').post('/issue', { act: 'crm.contact.read' });
    await stack.stack.parts.postgres.start();
    return String(answer.body.request_id);
  },
};

it.each(Object.entries(PATHS).filter(([name]) => !existsSync(join(FOLDER, `${name}.pb`))))(
  'records %s',
  async (name, path) => {
    const id = await path();
    const client = await stack.sealedClient();
    const handle = client.workflow.getHandle(poaRequestWorkflowId(id));
    await handle.result();
    const keys = await readCodecKeys(join(stack.directory, 'codec-keys.json'));
    const history = openedHistory(await handle.fetchHistory(), keys);
    await writeFile(join(FOLDER, `${name}.pb`), history);
  },
  60_000,
);

it.each(['retention'].filter((name) => !existsSync(join(FOLDER, `${name}.pb`))))(
  'records %s',
  async (name) => {
    const client = await stack.sealedClient();
    const options = { taskQueue: TASK_QUEUE, workflowId: name };
    const handle = await client.workflow.start(RETENTION, options);
    await handle.result();
    const keys = await readCodecKeys(join(stack.directory, 'codec-keys.json'));
    await writeFile(join(FOLDER, `${name}.pb`), openedHistory(await handle.fetchHistory(), keys));
  },
  60_000,
);

it('knows every path', () => {
  expect(Object.keys(PATHS).length).toBeGreaterThan(10);
});
