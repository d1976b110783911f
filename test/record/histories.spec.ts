import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readCodecKeys } from '../../adapters/temporal/codec-keys';
import { consultationId } from '../../domain/consultation';
import { incidentId } from '../../domain/incident-digest';
import {
  changeWorkflowId,
  consultationWorkflowId,
  DIGEST,
  incidentWorkflowId,
  poaRequestWorkflowId,
  policyMovedSignal,
  proposalWorkflowId,
  RETENTION,
  TASK_QUEUE,
  verdictSignal,
} from '../../workflows/contract';
import { Approver } from '../support/approver';
import { atbIn } from '../support/atb';
import { openedHistory } from '../support/history';
import { HttpCaller } from '../support/http';
import { policyWithClocks } from '../support/policy';
import { anRfc, ChangePeople, Platform } from '../support/change';
import { TestStack } from '../support/stack';

const FOLDER = 'test/replay/histories';

const LEADS = {
  ...{ id: 'leads', title: 'Leads', owner: 'Sales', state: 'active', data_classification: 'internal' },
  upstream: { url: 'https://leads.corp.example' },
  egress: { allow: [{ host: 'leads.corp.example', port: 443 }] },
  routes: [{ method: 'GET', path: '/leads', action: 'crm.lead.list', unchecked: [] }],
};

let stack: TestStack;
let platform: Platform;
let bob: Approver;
let carol: Approver;
let dave: Approver;
let erin: Approver;

beforeAll(async () => {
  const policy = await policyWithClocks(3, 3, (data) => {
    data.digest.period_seconds = 3;
    // An incident is advised on by nobody in time; about a request there is time to answer.
    const { incident_response: incidents } = data.raci;
    if (incidents) incidents.answer_seconds = 3;
  });
  platform = await Platform.make();
  stack = await TestStack.start({
    ATB_POLICY_DIR: policy,
    ATB_OPERATIONS_FILE: await platform.operations(),
  });
  bob = new Approver(stack, 'person/bob', 'compliance');
  carol = new Approver(stack, 'person/carol', 'security');
  dave = new Approver(stack, 'person/dave', 'security_lead');
  erin = new Approver(stack, 'person/erin', 'ciso');
}, 120_000);

afterAll(() => stack.stop());

const ask = async (agent: string, body: object) =>
  String((await stack.as(`agent/${agent}`).post('/issue', body)).body.request_id);
const collect = (agent: string, id: string) => stack.as(`agent/${agent}`).post(`/requests/${id}/collect`);

/** A test for each of these that has no recording yet. */
function unrecorded<T>(paths: Readonly<Record<string, T>>) {
  return (title: string, work: (name: string, path: T) => Promise<void>, timeoutMs: number): void => {
    for (const [name, path] of Object.entries(paths)) {
      if (existsSync(join(FOLDER, `${name}.pb`))) continue;
      it(title.replace('%s', name), () => work(name, path), timeoutMs);
    }
  };
}

/** The id of a proposal of a connector. */
async function leadsAsked(): Promise<string> {
  const file = join(stack.directory, 'leads.json');
  await writeFile(file, JSON.stringify(LEADS));
  const asked = ['connector', 'request', file, '--reason', 'recorded', '--yes', '--json'];
  const { out } = await atbIn(stack.directory, [...asked, '--as', 'person/grace']);
  return (JSON.parse(out) as { readonly proposal_id: string }).proposal_id;
}

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

unrecorded(PATHS)(
  'records %s',
  async (name, path) => {
    const id = await path();
    const client = await stack.sealedClient();
    const handle = client.workflow.getHandle(poaRequestWorkflowId(id));
    await handle.result();
    await keep(name, await handle.fetchHistory());
  },
  60_000,
);

unrecorded({ retention: null })(
  'records %s',
  async (name) => {
    const client = await stack.sealedClient();
    const options = { taskQueue: TASK_QUEUE, workflowId: name };
    const handle = await client.workflow.start(RETENTION, options);
    await handle.result();
    await keep(name, await handle.fetchHistory());
  },
  60_000,
);

const word = async (who: string, role: string, command: string, id: string, ...argv: readonly string[]) => {
  const said = ['--role', role, '--reason', 'recorded', '--yes', '--json', '--as', `person/${who}`];
  const ran = await atbIn(stack.directory, ['incident', command, id, ...argv, ...said]);
  if (ran.exit !== 0) throw new Error(ran.err);
  return JSON.parse(ran.out) as { readonly open_follow_ups: readonly string[] };
};
const ended = async (id: string) => {
  await word('carol', 'on_call', 'ack', id);
  await word('carol', 'security', 'resolve', id);
  await word('dave', 'security_lead', 'review', id);
  return incidentWorkflowId(id);
};
const pause = (seconds: number) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** Opens a P1 by hand. */
const opened = async (what: string) => {
  const cause = ['--cause', what, '--severity', 'P1', '--reason', 'recorded', '--yes', '--json'];
  const { out } = await atbIn(stack.directory, ['incident', 'open', ...cause, '--as', 'person/grace']);
  return JSON.parse(out) as { readonly incident_id: string; readonly opened_at_seconds: number };
};

/** Signals that nobody may send: more than are recorded one by one. */
const noise = async (workflowId: string) => {
  const handle = (await stack.insider()).workflow.getHandle(workflowId);
  for (let sent = 0; sent < 45; sent++) await handle.signal('answer', `noise ${sent}`);
};

/** An emergency change that runs to its end, and is reviewed. */
const changed = async (name: string, end: string) => {
  const people = new ChangePeople(stack);
  const emergency = people.change(name, anRfc(), 'emergency_change');
  const id = await people.signedOff(emergency);
  await people.say(people.grace, id, emergency, 'run');
  await people.reaches(id, end);
  await people.say(people.dave, id, emergency, 'review');
  return changeWorkflowId(id);
};

/** Of the other workflows, each by the id of the workflow that took the path. */
const OTHERS: Record<string, () => Promise<string>> = {
  'incident-climbed-and-reviewed': async () => {
    const { incident_id: id } = await opened('recorded');
    await pause(4);
    await word('carol', 'security', 'contain', id, '--connector', 'crm');
    await word('dave', 'security_lead', 'contain', id, '--connector', 'crm', '--lift');
    await word('carol', 'security', 'note', id);
    const { open_follow_ups: open } = await word('carol', 'security', 'note', id, '--follow-up');
    await word('dave', 'security_lead', 'note', id, '--closes', open[0] ?? '');
    return ended(id);
  },
  'incident-by-audit-contained': async () => {
    const agent = 'agent/finance-bot';
    const { body } = await stack.as(agent).post('/issue', { act: 'erp.order.list', con: { params: {} } });
    const broker = HttpCaller.fromFiles(stack.stack.brokerUrl, stack.trustBundle, stack.identity(agent));
    const headers = { authorization: `PoA ${body.mandate as string}` };
    for (let n = 0; n < 7; n++) await broker.send('GET', '/c/erp/orders', undefined, headers);
    broker.close();
    const cause = `agent spiffe://corp.example/${agent}`;
    const id = incidentId({ kind: 'mandate_replayed', cause });
    await pause(8);
    await word('carol', 'security', 'contain', id, '--agent', agent, '--lift');
    return ended(id);
  },
  'incident-seen-again-and-reviewed': async () => {
    const { incident_id: id } = await opened('seen again');
    await word('carol', 'on_call', 'ack', id);
    await word('carol', 'security', 'resolve', id);
    await opened('seen again');
    await pause(4);
    return ended(id);
  },
  'incident-noise-then-reviewed': async () => {
    const { incident_id: id } = await opened('noise');
    await noise(incidentWorkflowId(id));
    return ended(id);
  },
  'consultation-noise-then-answered': async () => {
    const subject = await ask('finance-bot', { act: 'sap.payment.execute' });
    const id = consultationId({ flow: 'request', subject, kind: 'high', openedAt: null });
    await pause(2);
    await noise(consultationWorkflowId(id));
    // The second is of a team that was not asked.
    for (const [who, role] of [
      ['frank', 'legal'],
      ['kim', 'engineer'],
      ['carol', 'security'],
    ] as const) {
      const said = ['--role', role, '--reason', 'recorded', '--yes', '--as', `person/${who}`];
      await atbIn(stack.directory, ['consultation', 'answer', id, ...said]);
    }
    return consultationWorkflowId(id);
  },
  'consultation-unanswered': async () => {
    const { incident_id: subject, opened_at_seconds: openedAt } = await opened('nobody advises');
    const id = consultationId({ flow: 'incident', subject, kind: 'manual', openedAt });
    await pause(4);
    await ended(subject);
    return consultationWorkflowId(id);
  },
  'change-completed-and-reviewed': () => changed('completed', 'completed'),
  'change-rolled-back-and-reviewed': async () => {
    await writeFile(platform.path('smoke-fails-100'), '');
    return changed('rolled-back', 'rolled_back');
  },
  'proposal-approved': async () => {
    const retire = ['connector', 'retire', 'crm', '--reason', 'recorded', '--yes', '--json'];
    const { out } = await atbIn(stack.directory, [...retire, '--as', 'person/grace']);
    return proposalWorkflowId((JSON.parse(out) as { readonly proposal_id: string }).proposal_id);
  },
  'proposal-retired': async () => {
    const id = await leadsAsked();
    const word = ['--reason', 'recorded', '--yes'];
    for (const who of ['dave', 'frank', 'grace']) {
      await atbIn(stack.directory, ['connector', 'review', id, ...word, '--as', `person/${who}`]);
    }
    await atbIn(stack.directory, ['connector', 'retire', 'leads', ...word, '--as', 'person/grace']);
    return proposalWorkflowId(id);
  },
  'proposal-climbed-and-rejected': async () => {
    const id = await leadsAsked();
    await pause(4);
    const reject = ['connector', 'review', id, '--reject', '--reason', 'recorded', '--yes'];
    await atbIn(stack.directory, [...reject, '--as', 'person/dave']);
    return proposalWorkflowId(id);
  },
};

unrecorded(OTHERS)(
  'records %s',
  async (name, path) => {
    const handle = (await stack.sealedClient()).workflow.getHandle(await path());
    await handle.result();
    await keep(name, await handle.fetchHistory());
  },
  60_000,
);

unrecorded({ digest: null })(
  'records %s',
  async (name) => {
    const client = await stack.sealedClient();
    const over = "WorkflowId = 'digest' AND ExecutionStatus = 'ContinuedAsNew'";
    for (;;) {
      for await (const { runId } of client.workflow.list({ query: over })) {
        await keep(name, await client.workflow.getHandle(DIGEST, runId).fetchHistory());
        return;
      }
      await pause(1);
    }
  },
  60_000,
);

async function keep(name: string, history: Parameters<typeof openedHistory>[0]): Promise<void> {
  const keys = await readCodecKeys(join(stack.directory, 'codec-keys.json'));
  await writeFile(join(FOLDER, `${name}.pb`), openedHistory(history, keys));
}

it('knows every path', () => {
  expect(Object.keys(PATHS).length).toBeGreaterThan(10);
});
