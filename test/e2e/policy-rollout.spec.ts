import { createHash, createPrivateKey } from 'node:crypto';
import { mkdtemp, readFile, rename, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openUnverifiedBundle, packBundle, signBundle } from '../../adapters/opa/bundle';
import type { JsonObject } from '../../domain/json';
import { atbIn } from '../support/atb';
import { Approver } from '../support/approver';
import { HttpCaller, LEG } from '../support/http';
import { builtPolicy } from '../support/policy-bundle';
import { approvePolicy } from '../support/policy-approval';
import { TestStack } from '../support/stack';
import { eventually } from '../support/eventually';

let stack: TestStack;
let candidateFile: string;
let shadowFile: string;
let candidate: string;
let digest: string;

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'atb-candidate-'));
  candidateFile = join(folder, 'candidate.tar.gz');
  shadowFile = join(folder, 'shadow.jsonl');
  stack = await TestStack.start({
    ...{ ATB_POLICY_POLL_SECONDS: '1', ATB_POLICY_CANDIDATE_FILE: candidateFile },
    ATB_POLICY_SHADOW_FILE: shadowFile,
  });
  // The candidate suspends an agent, lets every agent do what needed an approval, and has people asked about what needed none.
  const source = await builtPolicy();
  const data = structuredClone(source.data) as {
    agents: Record<string, { state: string }>;
    catalogue: { actions: Record<string, { tier: string }> };
  } & JsonObject;
  data.agents['spiffe://corp.example/agent/crm-assistant']!.state = 'suspended';
  data.catalogue.actions['crm.contact.update']!.tier = 'low';
  data.catalogue.actions['crm.account.list']!.tier = 'medium';
  const { bytes } = packBundle({ ...source, data });
  ({ revision: candidate, digest } = openUnverifiedBundle(bytes));
  const privateKey = createPrivateKey(await readFile(join(stack.directory, 'policy', 'signing-key.pem')));
  await writeFile(`${candidateFile}.next`, await signBundle(bytes, { privateKey, keyId: 'policy' }));
  await rename(`${candidateFile}.next`, candidateFile);
});

afterAll(() => stack.stop());

const low = () =>
  stack.as('agent/crm-assistant').post('/issue', {
    act: 'crm.contact.read',
    con: { params: { contact_id: 'C-42' } },
    leg: LEG as JsonObject,
  });

/** It is the port beside the broker's own. */
const brokerAdminUrl = () => `http://127.0.0.1:${Number(new URL(stack.stack.brokerUrl).port) + 1}`;

async function metric(name: string, adminUrl = stack.stack.agentauthAdminUrl): Promise<number> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text();
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  return Number(line?.split(' ')[1] ?? 0);
}

const DIFFERENT = 'atb_policy_shadow_total{outcome="different"}';

const until = (isSo: () => Promise<boolean>) => eventually(isSo, (so) => so);

async function atb(...argv: string[]) {
  const { exit: code, ...said } = await atbIn(stack.directory, argv);
  return { code, ...said };
}

async function differences(): Promise<readonly JsonObject[]> {
  const { out } = await atb('policy', 'shadow', shadowFile, '--json');
  return (JSON.parse(out) as { differences: JsonObject[] }).differences;
}

const word = ['--as', 'person/grace', '--reason', 'no differences that matter', '--yes'];
const place = (id: string) => createHash('sha256').update(id).digest().readUInt32BE(0) % 100;

describe('a candidate policy (operating model §2.3)', () => {
  it('that Security has not approved is not even asked', async () => {
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect((await low()).status).toBe(201);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await metric(DIFFERENT)).toBe(0);
    // Nor does it get a share, which would count from the moment of its approval on.
    expect((await atb('policy', 'rollout', candidate, '--percent', '100', ...word)).code).toBe(1);
    expect((await low()).status).toBe(201);
  });

  it('is asked beside the one that decides once it is approved: differences are counted and listed', async () => {
    await approvePolicy(stack, { revision: candidate, digest });
    await until(async () => {
      expect((await low()).status).toBe(201);
      return (await metric(DIFFERENT)) > 0;
    });
    const [difference] = await eventually(differences, ({ length }) => length > 0);
    expect(difference).toMatchObject({
      ...{ action: 'crm.contact.read', outcome: 'different', decided: { effect: 'issue' } },
      other: { effect: 'deny', policyRevision: candidate, reasons: ['agent_suspended'] },
    });
    expect((await atb('policy', 'shadow', shadowFile)).out).toMatch(/[1-9]\d* decisions differ/);
  });

  it('decides exactly its share of the requests, which follows from their ids, and none after a rollback', async () => {
    expect((await atb('policy', 'rollout', candidate, '--percent', '50', ...word)).out).toContain(
      'is approved',
    );
    await until(async () => (await metric('atb_policy_canary_percent')) === 50);
    let denied = 0;
    for (let asked = 0; asked < 30; asked++) {
      const { status, body } = await low();
      const isCanary = place(String(body.request_id)) < 50;
      expect([body.request_id, status]).toEqual([body.request_id, isCanary ? 403 : 201]);
      if (isCanary) denied += 1;
    }
    expect(denied).toBeGreaterThan(3);
    expect(denied).toBeLessThan(27);

    expect((await atb('policy', 'rollback', candidate, ...word)).code).toBe(0);
    await until(async () => (await metric('atb_policy_canary_percent')) === 0);
    for (let asked = 0; asked < 10; asked++) expect((await low()).status).toBe(201);
  });

  it('asks people of its share about what the first policy, and so the forecast, issues at once', async () => {
    await atb('policy', 'rollout', candidate, '--percent', '50', ...word);
    await until(async () => (await metric('atb_policy_canary_percent')) === 50);
    const states = new Set<unknown>();
    for (let asked = 0; states.size < 2 || asked < 6; asked++) {
      if (asked === 40) throw new Error('all of forty requests are on one side of the share');
      const { status, body } = await stack.as('agent/explorer').post('/issue', {
        ...{ act: 'crm.account.list', leg: LEG as JsonObject },
      });
      const isCanary = place(String(body.request_id)) < 50;
      expect([body.code, body.state, status]).toEqual([
        ...[undefined, isCanary ? 'pending' : 'issued', isCanary ? 202 : 201],
      ]);
      states.add(body.state);
    }
    await atb('policy', 'rollback', candidate, ...word);
    await until(async () => (await metric('atb_policy_canary_percent')) === 0);
  });

  it('is asked by the signing step too, where it admitted the request', async () => {
    await atb('policy', 'rollout', candidate, '--percent', '50', ...word);
    await until(async () => (await metric('atb_policy_canary_percent')) === 50);
    const bob = new Approver(stack, 'person/bob', 'compliance');
    const finance = stack.as('agent/finance-bot');
    const revisions = new Set<unknown>();
    for (let asked = 0; revisions.size < 2 || asked < 8; asked++) {
      if (asked === 60) throw new Error('all of sixty requests are on one side of the share');
      const order = await finance.post('/issue', {
        act: 'erp.order.create',
        con: { params: { order_id: 'SO-7' } },
      });
      const id = String(order.body.request_id);
      await bob.give(id);
      expect((await finance.post(`/requests/${id}/collect`)).status).toBe(200);
      const events = await (await stack.ledger()).events({ requestId: id, limit: 100 });
      const said = events.flatMap(({ data }) => data.policy_revision ?? []);
      expect([id, new Set(said).size, said[0] === candidate]).toEqual([id, 1, place(id) < 50]);
      revisions.add(said[0]);
    }
    await atb('policy', 'rollback', candidate, ...word);
    await until(async () => (await metric('atb_policy_canary_percent')) === 0);
  });

  it('is asked by the broker where it decided the request: a mandate of the share is good, until a rollback', async () => {
    const helper = stack.as('agent/hr-helper');
    const broker = HttpCaller.fromFiles(
      stack.stack.brokerUrl,
      stack.trustBundle,
      stack.identity('agent/hr-helper'),
    );
    const changed = (mandate: unknown) =>
      broker.send('PATCH', '/c/crm/contacts/C-42', JSON.stringify({ email: 'ada@example.com' }), {
        ...{ 'content-type': 'application/json', authorization: `PoA ${String(mandate)}` },
      });
    const ofTheShare = async () => {
      for (let tries = 0; tries < 100; tries++) {
        const { status, body } = await helper.post('/issue', {
          ...{ act: 'crm.contact.update', leg: LEG as JsonObject },
          con: { params: { contact_id: 'C-42', email: 'ada@example.com' } },
        });
        const isCanary = place(String(body.request_id)) < 50;
        expect([body.request_id, status]).toEqual([body.request_id, isCanary ? 201 : 403]);
        if (isCanary) return body;
      }
      throw new Error('none of a hundred requests is of the share');
    };
    try {
      await atb('policy', 'rollout', candidate, '--percent', '50', ...word);
      await until(async () => (await metric('atb_policy_canary_percent')) === 50);
      const first = await ofTheShare();
      await until(async () => (await changed(first.mandate)).status === 200);
      const ledger = await stack.ledger();
      const events = await ledger.events({ requestId: String(first.request_id), limit: 100 });
      const redeemed = events.find(({ type }) => type === 'poa_redeemed');
      expect(redeemed?.data).toMatchObject({ policy_revision: candidate });

      const second = await ofTheShare();
      expect((await atb('policy', 'rollback', candidate, ...word)).code).toBe(0);
      await until(async () => (await metric('atb_policy_canary_percent')) === 0);
      await until(async () => (await metric('atb_policy_canary_percent', brokerAdminUrl())) === 0);
      expect(await changed(second.mandate)).toMatchObject({ status: 403 });
      const redemptions = await eventually(
        async () => (await differences()).filter(({ question }) => question === 'redemption'),
        ({ length }) => length > 0,
      );
      expect(redemptions).toContainEqual(
        expect.objectContaining({
          ...{ action: 'crm.contact.update', outcome: 'different' },
          decided: expect.objectContaining({ effect: 'allow', policyRevision: candidate }),
          other: expect.objectContaining({ effect: 'deny' }),
        }),
      );
    } finally {
      broker.close();
    }
  });

  it('gets no share by somebody who may not give one', async () => {
    const alice = ['--as', 'person/alice', '--reason', 'x', '--yes', '--role', 'manager'];
    const answer = await atb('policy', 'rollout', candidate, '--percent', '100', ...alice);
    expect(answer.code).not.toBe(0);
    const wrong = await atb('policy', 'rollout', candidate, '--percent', '101', ...word);
    expect(wrong.code).not.toBe(0);
  });
});
