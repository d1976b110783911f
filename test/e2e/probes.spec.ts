import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client as DatabaseClient } from 'pg';
import type { Proposed } from '../../domain/proposal';
import { collectUpdate, poaRequestWorkflowId } from '../../workflows/contract';
import { EXIT } from '../../apps/atb/exit';
import { Approver } from '../support/approver';
import { atbIn } from '../support/atb';
import { changedPolicy } from '../support/policy';
import { Signer } from '../support/signer';
import { TestStack } from '../support/stack';
import { LEG } from '../support/http';
import type { JsonObject } from '../../domain/json';
import { eventually, found } from '../support/eventually';

const FINANCE_BOT = 'spiffe://corp.example/agent/finance-bot';
const person = (name: string) => `spiffe://corp.example/person/${name}`;

let stack: TestStack;
let carol: Signer;
let dave: Signer;
let bob: Approver;
let frank: Approver;

beforeAll(async () => {
  const policy = await changedPolicy(({ probes }) => {
    // Off by default.
    probes.enabled = true;
    probes.shortest_period_seconds = 1;
  });
  stack = await TestStack.start({ ATB_POLICY_DIR: policy });
  carol = new Signer(stack, 'person/carol', 'security');
  dave = new Signer(stack, 'person/dave', 'security_lead');
  bob = new Approver(stack, 'person/bob', 'compliance');
  frank = new Approver(stack, 'person/frank', 'legal');
});

afterAll(() => stack.stop());

const DECOY = {
  ...{ act: 'sap.payment.execute', con: { params: { amount: 1250 } }, leg: LEG },
  justification: 'to nobody knows whom',
};

let drills = 0;
/** A decoy that Security orders and its lead agrees to. Answers the proposal's id, and the request's as an approver finds it. */
async function probe(more: JsonObject = {}): Promise<{ proposal: string; id: string }> {
  const known = await waiting();
  const drill: Proposed = {
    kind: 'probe',
    name: `drill-${++drills}`,
    content: {
      agent: FINANCE_BOT,
      requests: [DECOY],
      ...more,
    },
  };
  const proposal = String((await carol.propose(drill)).body.proposal_id);
  const agreed = await dave.signOff(proposal, drill, 'agreement');
  expect(agreed.body).toMatchObject({ state: 'approved' });
  return { proposal, id: await newcomer(known) };
}

/** The request that waits now and did not before. */
const newcomer = (known: readonly string[]) =>
  found(async () => (await waiting()).find((id) => !known.includes(id)));

/** What is listed follows by a moment: of another action than a decoy's, it is none that came later. */
async function waiting(): Promise<string[]> {
  const { body } = await stack.as('person/bob').get('/approvals');
  return (body.approvals as { request_id: string; act: string }[])
    .filter(({ act }) => act === DECOY.act)
    .map(({ request_id: id }) => id);
}

async function eventsOf(id: string) {
  return (await stack.ledger()).events({ requestId: id, limit: 100 });
}

async function lift(name: string, by: Signer): Promise<Record<string, unknown>> {
  const lifting: Proposed = { kind: 'suspension_lift', name, content: { person: person(name) } };
  const made = await by.propose(lifting);
  return (await by.signOff(String(made.body.proposal_id), lifting, 'lift')).body;
}

describe('an attention probe', () => {
  it('looks like any other request to an approver, and to the roles that are told', async () => {
    const { id } = await probe();
    const real = String(
      (await stack.as('agent/finance-bot').post('/issue', { act: 'sap.payment.execute' })).body.request_id,
    );
    const toldOf = async (request: string) =>
      (await readFile(join(stack.directory, 'notifications.jsonl'), 'utf8'))
        .split('\n')
        .filter((line) => line.includes(request));
    // The approvers, the teams whose work it is, and the two that are asked: in whichever order it is begun.
    const kinds = (lines: readonly string[]) =>
      lines.map((line) => (JSON.parse(line) as { kind: string }).kind).sort();
    const whole = (request: string) =>
      eventually(
        () => toldOf(request),
        ({ length }) => length >= 4,
      );
    const told = await whole(id);
    expect(kinds(told)).toEqual(['approval_wanted', 'consultation', 'consultation', 'work']);
    expect(kinds(await whole(real))).toEqual(kinds(told));
    expect(told.join('\n')).not.toMatch(/probe|drill/);
    const seen = async (request: string) => (await stack.as('person/frank').get(`/requests/${request}`)).body;
    const [decoy, genuine] = [await seen(id), await seen(real)];
    expect(Object.keys(decoy).sort()).toEqual(Object.keys(genuine).sort());
    expect(decoy).toMatchObject({
      state: 'pending',
      tier: 'high',
      agent: FINANCE_BOT,
      act: 'sap.payment.execute',
    });
    expect(JSON.stringify(decoy)).not.toMatch(/probe|drill|proposal/);
    expect(id).toHaveLength(real.length);
    await stack.as('agent/finance-bot').post(`/requests/${real}/withdraw`);
  });

  it('suspends whoever approves it, until a security lead lifts it by a signed word', async () => {
    const { id } = await probe();
    expect((await bob.give(id)).body).toMatchObject({ state: 'pending', outstanding: { approvals: 1 } });
    expect((await eventsOf(id)).map(({ type }) => type)).toEqual([
      'probe_begun',
      'probe_answered',
      'approver_suspended',
    ]);
    const [suspended] = (await eventsOf(id)).filter(({ type }) => type === 'approver_suspended');
    expect(suspended).toMatchObject({ actor: person('bob'), subject: FINANCE_BOT });

    // What he signs counts no more, by policy; another's does.
    const asked = await stack.as('agent/finance-bot').post('/issue', { act: 'erp.order.create' });
    const real = String(asked.body.request_id);
    expect((await bob.give(real)).body).toMatchObject({ status: 403, code: 'verdict_suspended' });

    // Neither does another role lift it, nor he himself.
    expect(await lift('bob', carol)).toMatchObject({ code: 'verdict_role_not_eligible' });
    expect(await lift('bob', new Signer(stack, 'person/bob', 'compliance'))).toMatchObject({ status: 403 });
    expect((await bob.give(real)).body).toMatchObject({ code: 'verdict_suspended' });

    expect(await lift('bob', dave)).toMatchObject({ state: 'approved' });
    expect((await bob.give(real)).body).toMatchObject({ state: 'approved' });
    const all = await (await stack.ledger()).events({ type: 'suspension_lifted', limit: 10 });
    expect(all).toMatchObject([{ actor: person('bob') }]);
  });

  it('voids what a person approved before, where no mandate was signed yet', async () => {
    const asked = await stack.as('agent/finance-bot').post('/issue', { act: 'erp.order.create' });
    const real = String(asked.body.request_id);
    expect((await bob.give(real)).body).toMatchObject({ state: 'approved' });
    const { id } = await probe();
    await bob.give(id);
    expect((await stack.as('agent/finance-bot').post(`/requests/${real}/collect`)).body).toMatchObject({
      code: 'approval_missing',
    });
    expect(await lift('bob', dave)).toMatchObject({ state: 'approved' });
  });

  it('ends with the first no, and suspends nobody', async () => {
    const { id } = await probe();
    expect((await frank.give(id, { verdict: 'reject', reason: 'who is that?' })).body).toMatchObject({
      state: 'rejected',
    });
    expect((await eventsOf(id)).map(({ type }) => type)).toEqual([
      'probe_begun',
      'probe_answered',
      'probe_ended',
    ]);
  });

  it('can never reach the signer, whoever forces it', async () => {
    const { id } = await probe();
    await bob.give(id);
    const approved = await frank.give(id);
    expect(approved.body).toMatchObject({ state: 'approved' });
    // The agent that seems to have asked, by the door and behind it.
    const collected = await stack.as('agent/finance-bot').post(`/requests/${id}/collect`);
    expect(collected).toMatchObject({ status: 403, body: { code: 'probe_never_issues' } });
    const { cert } = stack.identity('agent/finance-bot');
    const evidence = {
      chain: [new X509Certificate(readFileSync(cert)).raw.toString('base64')],
      presentedAt: Math.floor(Date.now() / 1000),
    };
    const handle = (await stack.sealedClient()).workflow.getHandle(poaRequestWorkflowId(id));
    await expect(handle.executeUpdate(collectUpdate, { args: [{ evidence }] })).rejects.toThrow();
    // Nor does the database hold a mandate beside it, whoever writes there.
    const url = (await readFile(join(stack.directory, 'database-url'), 'utf8')).trim();
    const database = new DatabaseClient({ connectionString: url });
    await database.connect();
    await expect(
      database.query("update poa_request set jti = 'x', claims = '{}' where request_id = $1", [id]),
    ).rejects.toThrow('probe_has_no_mandate');
    await database.end();
    expect((await eventsOf(id)).some(({ type }) => type.startsWith('poa_issued'))).toBe(false);
    for (const name of ['bob', 'frank']) expect(await lift(name, dave)).toMatchObject({ state: 'approved' });
  });

  it('gives nothing to a request of the same id that somebody really makes', async () => {
    const { id } = await probe();
    const statement = await bob.sign(id);
    const { cert } = stack.identity('agent/finance-bot');
    const client = await stack.sealedClient();
    await client.workflow.getHandle(poaRequestWorkflowId(id)).terminate('an insider tries');
    const shown = { act: 'sap.payment.execute', justification: 'to nobody knows whom' };
    const handle = await client.workflow.start('poaRequest', {
      ...{ taskQueue: 'poa', workflowId: `poa-request/${id}`, workflowIdReusePolicy: 'ALLOW_DUPLICATE' },
      args: [
        {
          requestId: id,
          asked: {
            ...{ ...shown, con: { params: { amount: 1250 }, limits: {} }, leg: LEG },
            ...{ ticket: null, requiresDualControl: false, approvers: [], ttlSeconds: null },
          },
          evidence: {
            chain: [new X509Certificate(readFileSync(cert)).raw.toString('base64')],
            presentedAt: Math.floor(Date.now() / 1000),
          },
          forecast: 'require',
        },
      ],
    });
    await bob.submit(id, statement);
    await frank.give(id);
    await stack.as('agent/finance-bot').post(`/requests/${id}/collect`);
    await handle.terminate('enough');
    expect((await eventsOf(id)).some(({ type }) => type.startsWith('poa_issued'))).toBe(false);
    expect((await eventsOf(id)).some(({ type }) => type === 'poa_verdict_recorded')).toBe(false);
  });

  it('begins only as Security ordered it and its lead agreed', async () => {
    const before = await waiting();
    const drill: Proposed = {
      kind: 'probe',
      name: 'alone',
      content: { agent: FINANCE_BOT, requests: [{ act: 'sap.payment.execute' }] },
    };
    const id = String((await dave.propose(drill)).body.proposal_id);
    expect((await dave.signOff(id, drill, 'agreement')).body).toMatchObject({
      code: 'verdict_not_independent',
    });
    expect((await waiting()).filter((one) => !before.includes(one))).toEqual([]);
    // Nobody else reads of it.
    expect((await stack.as('person/carol').get(`/proposals/${id}`)).status).toBe(200);
    expect((await stack.as('person/bob').get(`/proposals/${id}`)).status).toBe(404);
    expect(JSON.stringify((await stack.as('person/bob').get('/proposals')).body)).not.toContain('alone');
    const malformed: Proposed = { kind: 'probe', name: 'broken', content: { agent: 'bob' } };
    expect((await carol.propose(malformed)).status).toBe(400);
  });
});

describe('atb probe', () => {
  let folder: string;
  const file = async (name: string, body: JsonObject) => {
    await writeFile(join(folder, name), JSON.stringify(body));
    return join(folder, name);
  };
  const atb = (who: string, argv: readonly string[], answers?: readonly string[]) =>
    atbIn(stack.directory, [...argv, '--as', who], answers);

  beforeAll(async () => (folder = await mkdtemp(join(tmpdir(), 'atb-probe-'))));
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('schedules them, and lifts what came of approving one unread: a command for each person', async () => {
    const known = await waiting();
    const first = await file('stranger.json', DECOY);
    const second = await file('no-order.json', { ...DECOY, justification: 'no order, no invoice' });
    const ordered = await atb('person/carol', [
      ...['probe', 'schedule', first, second, '--name', 'autumn', '--agent', 'agent/finance-bot'],
      ...['--every', '2', '--role', 'security', '--reason', 'the yearly drill'],
    ]);
    expect(ordered).toMatchObject({ exit: EXIT.done });
    expect(ordered.out).toContain('missing: A security lead agrees to the probes (security_lead)');
    const [proposal = ''] = ordered.out.split(' ');
    expect((await waiting()).filter((one) => !known.includes(one))).toEqual([]);

    // What she agrees to is shown first.
    const agreed = await atb('person/dave', ['probe', 'agree', proposal], ['as planned', 'y']);
    expect(agreed.err).toContain('requests.1.justification = no order, no invoice');
    expect(agreed.out).toMatch(/^probe\.autumn\.\S+ is approved/);
    const one = await newcomer(known);
    const other = await newcomer([...known, one]);
    const words = async (id: string) =>
      (await stack.as('person/frank').get(`/requests/${id}`)).body.justification;
    expect([await words(one), await words(other)]).toEqual([DECOY.justification, 'no order, no invoice']);

    // Bob reads nothing, and says yes; Frank reads.
    const unread = ['approve', one, '--role', 'compliance', '--reason', 'fine', '--yes'];
    expect(await atb('person/bob', unread)).toMatchObject({ exit: EXIT.done });
    const read = ['reject', other, '--role', 'legal', '--reason', 'there is no order', '--yes'];
    expect(await atb('person/frank', read)).toMatchObject({ exit: EXIT.done });
    const asked = await stack.as('agent/finance-bot').post('/issue', { act: 'erp.order.create' });
    const real = [
      'approve',
      String(asked.body.request_id),
      '--role',
      'compliance',
      '--reason',
      'ok',
      '--yes',
    ];
    const suspended = await atb('person/bob', real);
    expect(suspended).toMatchObject({ exit: EXIT.refused });
    expect(suspended.err).toContain('verdict_suspended');

    const lifting = ['probe', 'lift', 'person/bob', '--reason', 'we talked about it', '--yes'];
    expect(await atb('person/carol', [...lifting, '--role', 'security'])).toMatchObject({ exit: EXIT.usage });
    expect((await atb('person/bob', real)).err).toContain('verdict_suspended');
    expect((await atb('person/dave', lifting)).out).toContain('is approved');
    expect(await atb('person/bob', real)).toMatchObject({ exit: EXIT.done });

    const listed = await atb('person/carol', ['probe', 'ls']);
    expect(listed.out).toContain(proposal);
    expect(listed.out).toMatch(/suspension_lift\.bob\.\S+ +approved/);
    expect((await atb('person/bob', ['probe', 'ls'])).out).not.toContain(proposal);
  });

  it('asks nobody to agree to what policy does not allow, or what is none', async () => {
    const decoy = await file('decoy.json', DECOY);
    const order = [
      'probe',
      'schedule',
      decoy,
      '--name',
      'x',
      '--agent',
      'agent/finance-bot',
      '--reason',
      'drill',
    ];
    const byManager = await atb('person/alice', order);
    expect(byManager).toMatchObject({ exit: EXIT.refused });
    expect(byManager.err).toContain('verdict_role_not_eligible');
    const tooLate = await atb('person/dave', [...order, '--after', '5000000']);
    expect(tooLate.err).toContain('probe_schedule_not_allowed');
    const broken = [...order, '--every', '60'];
    expect(await atb('person/dave', broken)).toMatchObject({ exit: EXIT.usage });
    const noAct = await file('no-act.json', { con: {} });
    expect(await atb('person/dave', [...order, noAct, '--every', '60'])).toMatchObject({ exit: EXIT.usage });
  });
});
