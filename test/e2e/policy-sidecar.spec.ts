import { randomBytes } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startSidecar } from '../../adapters/opa/sidecar-server';
import { obtainExecutable } from '../../adapters/process/executable';
import type { ServerProcess } from '../../adapters/process/server-process';
import { Approver } from '../support/approver';
import { aDelivery, aPolicyKey, signedBundle } from '../support/policy-bundle';
import { TestStack } from '../support/stack';

const key = aPolicyKey();
const token = randomBytes(24).toString('hex');
let delivery: Awaited<ReturnType<typeof aDelivery>>;
let server: ServerProcess;
let start: () => Promise<ServerProcess>;
let stack: TestStack;

beforeAll(async () => {
  const executable = await obtainExecutable('opa');
  delivery = await aDelivery(key, await signedBundle(key));
  const bundle = { file: delivery.bundleFile };
  const port = await freePort();
  start = () => startSidecar({ ...delivery, bundle, executable, keyId: 'policy', token, port });
  server = await start();
  const tokenFile = join(delivery.folder, 'token');
  await writeFile(tokenFile, token);
  stack = await TestStack.start({
    ...{ ATB_POLICY: 'opa', ATB_OPA_URL: `http://127.0.0.1:${port}`, ATB_OPA_TOKEN_FILE: tokenFile },
  });
}, 120_000);

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
    await sleep(1_500);
    expect((await low()).status).toBe(201);
    expect((await finance.post(`/requests/${id}/collect`)).status).toBe(200);
    expect((await stack.auditTypes(id)).filter((type) => type.startsWith('poa_issued'))).toHaveLength(1);
  });
});

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => {
        resolve(port);
      });
    });
  });
}
