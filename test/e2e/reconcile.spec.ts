import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { loadMandateKeySet } from '../../adapters/jose/mandate-keys';
import { NAMESPACE } from '../../adapters/temporal/server-settings';
import { poaRequestWorkflowId } from '../../workflows/contract';
import type { MandateClaims } from '../../domain/mandate';
import { atbIn } from '../support/atb';
import { eventually } from '../support/eventually';
import { HttpCaller, LEG } from '../support/http';
import { TestStack } from '../support/stack';

let stack: TestStack;

beforeAll(async () => {
  stack = await TestStack.start();
});

afterAll(() => stack.stop());

interface Reconciled {
  readonly workflows: number;
  readonly requests: number;
  readonly differences: readonly { readonly request_id: string; readonly kind: string }[];
}

async function reconcile() {
  const argv = ['audit', 'reconcile', '--settled', '0', '--json'];
  const { exit, out } = await atbIn(stack.directory, argv);
  return { exitCode: exit, ...(JSON.parse(out) as Reconciled) };
}

/** The visibility store is a moment behind. */
async function reconciled(holds: (result: Awaited<ReturnType<typeof reconcile>>) => boolean) {
  return eventually(reconcile, holds, 500);
}

async function asked(act: string, agent = 'agent/explorer'): Promise<string> {
  const { body } = await stack.as(agent).post('/issue', { act });
  return String(body.request_id);
}

describe('Temporal and the log, held against each other', () => {
  it('agree, and each difference that somebody makes is named', async () => {
    // The stack asks for one mandate itself, to see that it can.
    const { workflows: own } = await reconciled(({ workflows, requests }) => workflows === requests);
    await asked('crm.contact.read');
    await asked('sap.payment.execute', 'agent/hr-helper');
    const withdrawn = await asked('erp.order.create');
    await stack.as('agent/explorer').post(`/requests/${withdrawn}/withdraw`);
    const waiting = await asked('erp.order.create');
    const agreed = await reconciled(
      ({ workflows, differences }) => workflows === own + 4 && differences.length === 0,
    );
    expect(agreed).toMatchObject({ exitCode: 0, requests: own + 4 });

    const deleted = await asked('crm.contact.read');
    const terminated = await asked('erp.order.create');
    // It compares too, each minute, and would end what is found here.
    await stack.stack.parts.worker.stop();
    const client = await stack.sealedClient();
    await client.workflow.getHandle(poaRequestWorkflowId(terminated)).terminate('to see what is told');
    await client.workflowService.deleteWorkflowExecution({
      namespace: NAMESPACE,
      workflowExecution: { workflowId: poaRequestWorkflowId(deleted) },
    });
    const found = await reconciled(({ differences }) => differences.length === 2);
    expect(found.exitCode).toBe(1);
    expect(new Map(found.differences.map(({ request_id: id, kind }) => [id, kind]))).toEqual(
      new Map([
        [terminated, 'ended_from_outside'],
        [deleted, 'workflow_missing'],
      ]),
    );
    expect(found.differences.map(({ request_id: id }) => id)).not.toContain(waiting);
    await stack.stack.parts.worker.start();
  });

  it('name a mandate that the broker took and nobody issued: whoever has the signing key is noticed', async () => {
    const { body } = await stack.as('agent/crm-assistant').post('/issue', {
      ...{ act: 'crm.contact.read', leg: LEG },
      con: { params: { contact_id: 'C-42' } },
    });
    const [, payload = ''] = String(body.mandate).split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as MandateClaims;
    const { signer } = await loadMandateKeySet(join(stack.directory, 'keys', 'mandate-keys.json'));
    const forged = { ...claims, jti: randomBytes(16).toString('base64url') };
    const identity = stack.identity('agent/crm-assistant');
    const broker = HttpCaller.fromFiles(stack.stack.brokerUrl, stack.trustBundle, identity);
    const used = async (mandate: string) =>
      (await broker.send('GET', '/c/crm/contacts/C-42', undefined, { authorization: `PoA ${mandate}` }))
        .status;
    expect([await used(String(body.mandate)), await used(await signer.sign(forged))]).toEqual([200, 200]);
    broker.close();
    const { exitCode, differences } = await reconcile();
    expect(exitCode).toBe(1);
    const mine = differences.filter(({ request_id: id }) => id === body.request_id);
    expect(mine.filter(({ kind }) => kind === 'used_unissued')).toEqual([
      expect.objectContaining({ detail: expect.stringContaining(forged.jti) }),
    ]);
  });
});
