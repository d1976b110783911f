import { randomBytes } from 'node:crypto';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync, gzipSync } from 'node:zlib';
import { openUnverifiedBundle, packBundle, signBundle } from '../../adapters/opa/bundle';
import { HANDOFF_PATH } from '../../adapters/opa/bundle-handoff';
import { startSidecar } from '../../adapters/opa/sidecar-server';
import { obtainExecutable } from '../../adapters/process/executable';
import type { ServerProcess } from '../../adapters/process/server-process';
import type { JsonObject } from '../../domain/json';
import { atbIn } from '../support/atb';
import { Approver } from '../support/approver';
import { freePort } from '../support/database';
import { eventually } from '../support/eventually';
import { approvePolicy } from '../support/policy-approval';
import { aDelivery, aPolicyKey, builtPolicy, signedBundle } from '../support/policy-bundle';
import { TestStack } from '../support/stack';

const key = aPolicyKey();
const token = randomBytes(24).toString('hex');
let delivery: Awaited<ReturnType<typeof aDelivery>>;
let server: ServerProcess;
let start: (withoutBundle?: boolean) => Promise<ServerProcess>;
let handoff: string;
let candidateFile: string;
let stack: TestStack;

beforeAll(async () => {
  const executable = await obtainExecutable('opa');
  delivery = await aDelivery(key, await signedBundle(key));
  const [port, bundlePort] = [await freePort(), await freePort()];
  candidateFile = join(delivery.folder, 'candidate.tar.gz');
  const tokenFile = join(delivery.folder, 'token');
  await writeFile(tokenFile, token);
  // It gets its bundle from the worker, which starts after it.
  handoff = `http://127.0.0.1:${bundlePort}`;
  const bundle = { server: handoff, path: HANDOFF_PATH, tokenFile };
  start = (withoutBundle = false) =>
    startSidecar({ ...delivery, bundle, executable, keyId: 'policy', token, port, withoutBundle });
  server = await start(true);
  stack = await TestStack.start({
    ...{ ATB_POLICY: 'opa', ATB_OPA_URL: `http://127.0.0.1:${port}`, ATB_OPA_TOKEN_FILE: tokenFile },
    ...{ ATB_OPA_BUNDLE_PORT: String(bundlePort), ATB_POLICY_POLL_SECONDS: '1' },
    // A slow machine is no outage: one that is away refuses at once.
    ATB_OPA_TIMEOUT_MS: '5000',
    ATB_POLICY_CANDIDATE_FILE: candidateFile,
    ...{ ATB_POLICY_BUNDLE_FILE: delivery.bundleFile, ATB_POLICY_PUBLIC_KEY_FILE: delivery.publicKeyFile },
  });
});

afterAll(async () => {
  await stack.stop();
  await server.stop();
  await delivery.close();
  await rm(delivery.folder, { recursive: true, force: true });
});

const leg = {
  ...{ basis: 'CONTRACT', ref: 'MSA-1', jurisdiction: 'EU' },
  accountable_party: { type: 'employee', id: 'emp-1' },
};
const low = () =>
  stack
    .as('agent/crm-assistant')
    .post('/issue', { act: 'crm.contact.read', con: { params: { contact_id: 'C-42' } }, leg });

describe('the whole path with policy in an OPA sidecar', () => {
  it('issues at once, and after an approval', async () => {
    expect((await low()).status).toBe(201);
    const finance = stack.as('agent/finance-bot');
    const asked = await finance.post('/issue', {
      act: 'erp.order.create',
      con: { params: { order_id: 'SO-7' } },
      leg,
    });
    const id = String(asked.body.request_id);
    expect(asked.status).toBe(202);
    await new Approver(stack, 'person/bob', 'compliance').give(id);
    expect((await finance.post(`/requests/${id}/collect`)).status).toBe(200);
  });

  it('issues nothing while OPA is away: 503; what was approved is collected when it is back', async () => {
    const finance = stack.as('agent/finance-bot');
    const asked = await finance.post('/issue', {
      act: 'erp.order.create',
      con: { params: { order_id: 'SO-8' } },
      leg,
    });
    const id = String(asked.body.request_id);
    await new Approver(stack, 'person/bob', 'compliance').give(id);
    await server.stop();
    const refused = await low();
    expect(refused).toMatchObject({ status: 503, body: { code: 'policy_unavailable' } });
    expect(refused.headers['retry-after']).toBeDefined();
    expect(await finance.post(`/requests/${id}/collect`)).toMatchObject({
      ...{ status: 503, body: { code: 'policy_unavailable' } },
    });
    server = await start();
    await eventually(low, ({ status }) => status === 201, 300);
    expect((await finance.post(`/requests/${id}/collect`)).status).toBe(200);
    expect((await stack.auditTypes(id)).filter((type) => type.startsWith('poa_issued'))).toHaveLength(1);
  });
});

describe('a bundle for the sidecar', () => {
  const revision = async () =>
    String(
      (await stack.as('agent/crm-assistant').post('/plan', { act: 'crm.contact.read' })).body.policy_revision,
    );
  const refusals = async () => (await stack.ledger()).events({ type: 'policy_refused', limit: 100 });

  it('that Security has not approved is not given to it: the old one decides, and the log says so', async () => {
    const before = await revision();
    const bytes = await signedBundle(key, { more: 'unapproved' });
    await delivery.deliver(bytes);
    const unapproved = openUnverifiedBundle(bytes).revision;
    const [refused] = await eventually(refusals, ({ length }) => length >= 2);
    expect(refused).toMatchObject({
      reasons: ['policy_not_approved'],
      data: { stays: before },
    });
    await sleep(3_000);
    expect(await revision()).toBe(before);
    expect((await low()).status).toBe(201);

    await approvePolicy(stack, openUnverifiedBundle(bytes));
    await eventually(revision, (now) => now === unapproved);
    expect((await low()).status).toBe(201);
  });

  it('with the name of an approved one and other content is refused (attack: a forged revision)', async () => {
    const before = await revision();
    const { bytes } = packBundle({ ...(await builtPolicy()), rego: {} });
    const forged = Buffer.from(
      gunzipSync(bytes).toString('latin1').replaceAll(openUnverifiedBundle(bytes).revision, before),
      'latin1',
    );
    await delivery.deliver(
      await signBundle(gzipSync(forged), { privateKey: key.privateKey, keyId: 'policy' }),
    );
    await eventually(refusals, (all) => all.some(({ reasons }) => reasons[0] === 'policy_bundle_refused'));
    expect(await revision()).toBe(before);
  });

  it('is given to the holder of the token alone', async () => {
    for (const headers of [{}, { authorization: 'Bearer ' }, { authorization: `Bearer ${token}x` }]) {
      expect((await fetch(`${handoff}/${HANDOFF_PATH}`, { headers })).status).toBe(401);
    }
    const authorization = `Bearer ${token}`;
    expect((await fetch(`${handoff}/other`, { headers: { authorization } })).status).toBe(404);
    const given = await fetch(`${handoff}/${HANDOFF_PATH}`, { headers: { authorization } });
    expect(openUnverifiedBundle(new Uint8Array(await given.arrayBuffer())).revision).toBe(await revision());
  });
});

describe('a candidate beside the sidecar', () => {
  it('is asked by the process itself, and decides all of a share of 100 until it is taken back', async () => {
    const tiers = (await builtPolicy()).data.tiers as { low: JsonObject };
    const bytes = await signedBundle(key, {
      tiers: { ...tiers, low: { ...tiers.low, lifetime_seconds: 60 } },
    });
    const { revision, digest } = openUnverifiedBundle(bytes);
    await approvePolicy(stack, { revision, digest });
    await writeFile(`${candidateFile}.next`, bytes);
    await rename(`${candidateFile}.next`, candidateFile);
    const decidedBy = async () => {
      const { status, body } = await low();
      expect(status).toBe(201);
      const events = await (await stack.ledger()).events({ requestId: String(body.request_id), limit: 10 });
      return events.find(({ type }) => type === 'poa_issued')?.data.policy_revision;
    };
    const metrics = async () => (await fetch(`${stack.stack.agentauthAdminUrl}/metrics`)).text();
    const before = await decidedBy();
    expect(before).not.toBe(revision);
    await eventually(
      async () => {
        await low();
        return metrics();
      },
      (text) => /atb_policy_shadow_total\{outcome="(same|different)"\} [1-9]/.test(text),
    );
    const word = ['--as', 'person/grace', '--reason', 'no differences', '--yes'];
    await atbIn(stack.directory, ['policy', 'rollout', revision, '--percent', '100', ...word]);
    await eventually(decidedBy, (by) => by === revision);
    await atbIn(stack.directory, ['policy', 'rollback', revision, ...word]);
    await eventually(decidedBy, (by) => by === before);
  });
});
