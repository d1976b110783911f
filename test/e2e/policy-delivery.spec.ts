import { createPrivateKey } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openUnverifiedBundle, packBundle, signBundle } from '../../adapters/opa/bundle';
import { AGENTAUTH_ID } from '../../apps/atb/dev/example-company';
import type { JsonObject } from '../../domain/json';
import { atbIn } from '../support/atb';
import { Approver } from '../support/approver';
import { approvePolicy } from '../support/policy-approval';
import { aPolicyKey, builtPolicy } from '../support/policy-bundle';
import { TestStack } from '../support/stack';
import { eventually } from '../support/eventually';

const HOUR = 3_600_000;
let stack: TestStack;
const approved = new Set<string>();

beforeAll(async () => {
  stack = await TestStack.start({ ATB_POLICY_POLL_SECONDS: '1' });
});

afterAll(() => stack.stop());

/** Delivers the built policy with other velocity rules, as GitOps would: a signed bundle in the place of the first. */
async function deliver(velocity: JsonObject[], key = 'policy/signing-key.pem'): Promise<string> {
  const source = await builtPolicy();
  const { bytes, revision } = packBundle({ ...source, data: { ...source.data, velocity } });
  const privateKey =
    key === 'another'
      ? aPolicyKey().privateKey
      : createPrivateKey(await readFile(join(stack.directory, key)));
  const bundle = join(stack.directory, 'policy', 'bundle.tar.gz');
  const opened = openUnverifiedBundle(bytes);
  if (key !== 'another' && !approved.has(revision)) await approvePolicy(stack, opened);
  if (key !== 'another') approved.add(revision);
  await writeFile(`${bundle}.next`, await signBundle(bytes, { privateKey, keyId: 'policy' }));
  await rename(`${bundle}.next`, bundle);
  return revision;
}

/** What the worker tells; the broker loads the same bundle, and tells it too. */
async function policyEvents(type: string, count: number) {
  const ledger = await stack.ledger();
  return eventually(
    async () => (await ledger.events({ type, limit: 100 })).filter(({ actor }) => actor === AGENTAUTH_ID),
    ({ length }) => length >= count,
  );
}

const rule = (id: string, per: JsonObject, more: JsonObject = {}): JsonObject => ({
  ...{ id, counted_by: ['agent'], per },
  ...more,
});
const low = () =>
  stack.as('agent/crm-assistant').post('/issue', {
    act: 'crm.contact.read',
    con: { params: { contact_id: 'C-42' } },
    leg: {
      basis: 'LI',
      ref: 'LI-2024-001',
      jurisdiction: 'EU',
      accountable_party: { type: 'employee', id: 'emp-1' },
    },
  });

/** Not across the end of an hour: the window would begin anew. */
async function withinOneHour(): Promise<void> {
  const left = HOUR - (Date.now() % HOUR);
  if (left < 90_000) await sleep(left + 100);
}

describe('a policy that is delivered while the stack runs', () => {
  it('decides from then on, and log, metrics and audit log say so', async () => {
    const [first] = await policyEvents('policy_loaded', 1);
    const revision = await deliver([rule('roomy', { day: 1_000_000 })]);
    const [, second] = await policyEvents('policy_loaded', 2);
    expect(second?.data).toEqual({ revision, previous: first?.data.revision });
    const issued = await low();
    expect(issued.status).toBe(201);
    expect(
      (await stack.as('agent/crm-assistant').post('/plan', { act: 'crm.contact.read' })).body,
    ).toMatchObject({
      policy_revision: revision,
    });
    const metrics = await (await fetch(`${stack.stack.agentauthAdminUrl}/metrics`)).text();
    expect(metrics).toContain(`atb_policy_revision{revision="${revision}"} 1`);
  });

  it('is refused where somebody else signed it, and the last good one stays', async () => {
    const before = (await policyEvents('policy_loaded', 2)).at(-1)?.data.revision;
    await deliver([], 'another');
    const [refused] = await policyEvents('policy_refused', 1);
    expect(refused).toMatchObject({ reasons: ['policy_bundle_refused'], data: { stays: before } });
    expect((await low()).status).toBe(201);
    const metrics = await (await fetch(`${stack.stack.agentauthAdminUrl}/metrics`)).text();
    expect(metrics).toContain('atb_policy_changes_total{change="refused"} 1');
  });
});

describe('the command line', () => {
  const atb = async (...argv: string[]) => {
    const { exit: code, ...said } = await atbIn(stack.directory, argv);
    return { code, ...said };
  };
  const ground = [
    '--basis',
    'CONTRACT',
    '--ref',
    'MSA-1',
    '--jurisdiction',
    'EU',
    '--accountable',
    'employee:emp-1',
  ];
  const payment = ['sap.payment.execute', '--as', 'agent/finance-bot'];

  it('plans for people: who may approve, whom to call, limits, velocity, the rules and the revision', async () => {
    const { code, out } = await atb('plan', ...payment, '--param', 'amount:=1250', ...ground);
    const revision = (await policyEvents('policy_loaded', 2)).at(-1)?.data.revision as string;
    expect(code).toBe(0);
    for (const said of [
      ...[
        /^possible: people have to agree/,
        /tier +high/,
        /who .*bob/,
        /call +\S+ #.* \/ .*@/,
        /payment_limit/,
      ],
      ...[/velocity +\d+ of 1000000 in 86400 s \(roomy\)/, /rules +/, new RegExp(`policy +${revision}`)],
    ]) {
      expect(out).toMatch(said);
    }
  });

  it('plans for people: everything that is missing, where policy would refuse', async () => {
    const { code, out } = await atb('plan', ...payment);
    expect(code).toBe(1);
    expect(out).toMatch(/^not possible/);
    for (const missing of ['/con/params/amount', '/leg/']) expect(out).toContain(missing);
  });

  it('asks for a mandate on a legal ground that a template filled in', async () => {
    const fields = ['jurisdiction=EU', 'accountable_party=employee:emp-1', 'ref=LI-2024-001'];
    const { code, out, err } = await atb(
      ...['template', 'use', 'legitimate-interest', ...fields.flatMap((field) => ['--set', field])],
      ...[
        '--request',
        'crm.contact.read',
        '--param',
        'contact_id=C-42',
        '--as',
        'agent/crm-assistant',
        '--json',
      ],
    );
    expect([code, err]).toEqual([0, '']);
    expect(JSON.parse(out)).toMatchObject({ state: 'issued', tier: 'low' });
  });
});

describe('velocity', () => {
  it('issues up to the limit; then 429 with the time to try again, told by /plan too, and recorded', async () => {
    await withinOneHour();
    await deliver([rule('three an hour', { hour: 3 }, { counted_by: ['agent', 'action'] })]);
    await policyEvents('policy_loaded', 3);
    const answers = await Promise.all(Array.from({ length: 8 }, () => low()));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(3);
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused).toHaveLength(5);
    for (const { headers, body } of refused) {
      expect(body).toMatchObject({ code: 'velocity_exceeded', reasons: ['velocity_exceeded'] });
      expect(Number(headers['retry-after'])).toBeGreaterThan(0);
      expect(Number(headers['retry-after'])).toBeLessThanOrEqual(3_600);
    }
    expect(await stack.auditTypes(String(refused[0]?.body.request_id))).toEqual([
      ...['poa_requested', 'poa_velocity_exceeded', 'poa_denied'],
    ]);
    const plan = await stack.as('agent/crm-assistant').post('/plan', { act: 'crm.contact.read' });
    expect(plan.body).toMatchObject({
      effect: 'issue',
      velocity: [{ rule: 'three an hour', most: 3, taken: 3, window_seconds: 3_600 }],
      velocity_exceeded_until: expect.stringMatching(/:00:00Z$/),
    });
  });

  it('is not forgotten by a worker that starts again', async () => {
    await stack.stack.parts.worker.stop();
    await stack.stack.parts.worker.start();
    expect(await low()).toMatchObject({ status: 429, body: { code: 'velocity_exceeded' } });
  });

  it('leaves an approved request collectable, and it is collected when there is room', async () => {
    await deliver([rule('none', { hour: 0 }), rule('roomy', { day: 1_000_000 })]);
    await policyEvents('policy_loaded', 4);
    const finance = stack.as('agent/finance-bot');
    const asked = await finance.post('/issue', {
      act: 'erp.order.create',
      con: { params: { order_id: 'SO-7' } },
      leg: {
        basis: 'CONTRACT',
        ref: 'MSA-1',
        jurisdiction: 'EU',
        accountable_party: { type: 'employee', id: 'emp-1' },
      },
    });
    const id = String(asked.body.request_id);
    await new Approver(stack, 'person/bob', 'compliance').give(id);
    const refused = await finance.post(`/requests/${id}/collect`);
    expect(refused).toMatchObject({ status: 429, body: { code: 'velocity_exceeded', request_id: id } });
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect((await finance.get(`/requests/${id}`)).body.state).toBe('approved');
    await deliver([rule('roomy', { day: 1_000_000 })]);
    await policyEvents('policy_loaded', 5);
    expect(await finance.post(`/requests/${id}/collect`)).toMatchObject({
      status: 200,
      body: { state: 'issued' },
    });
    expect(await stack.auditTypes(id)).toContain('poa_velocity_exceeded');
  });
});

it('classifies what waits again when another bundle is loaded, and keeps the verdicts that count', async () => {
  const finance = stack.as('agent/finance-bot');
  const asked = { act: 'sap.payment.execute', con: { params: { amount: 1250 } } };
  const id = String((await finance.post('/issue', asked)).body.request_id);
  await new Approver(stack, 'person/bob', 'compliance').give(id);
  const revision = await deliver([rule('classified-again', { hour: 1_000_000 })]);
  const { body } = await eventually(
    () => finance.get(`/requests/${id}`),
    (answer) => answer.body.policy_revision === revision,
  );
  expect(body).toMatchObject({ policy_revision: revision, state: 'pending', outstanding: { approvals: 1 } });
  expect(await stack.auditTypes(id)).toContain('poa_reclassified');
});
