import { Apart } from '../support/apart';
import { Approver } from '../support/approver';

let stack: Apart;

beforeAll(async () => {
  stack = await Apart.start();
});

afterAll(() => stack.stop());

describe('AgentAuth and the worker as processes of their own (the safe shape)', () => {
  it('give a mandate at once where nothing is required, and after a verdict where somebody must say yes', async () => {
    const low = await stack.as('agent/crm-assistant').post('/issue', { act: 'crm.contact.read' });
    expect(low).toMatchObject({ status: 201, body: { state: 'issued', tier: 'low' } });

    const finance = stack.as('agent/finance-bot');
    const asked = await finance.post('/issue', { act: 'erp.order.create' });
    expect(asked).toMatchObject({ status: 202, body: { state: 'pending' } });
    const id = String(asked.body.request_id);
    const bob = new Approver(stack, 'person/bob', 'compliance');
    expect((await bob.give(id)).body).toMatchObject({ state: 'approved' });
    expect(await finance.post(`/requests/${id}/collect`)).toMatchObject({
      status: 200,
      body: { state: 'issued', mandate: expect.any(String) },
    });
  });

  it('go on with what waits when each of them was killed', async () => {
    const finance = stack.as('agent/finance-bot');
    const id = String((await finance.post('/issue', { act: 'erp.order.create' })).body.request_id);
    for (const part of ['worker', 'temporal', 'agentauth'] as const) await stack[part].kill();
    await stack.ready();
    const carol = new Approver(stack, 'person/carol', 'security');
    // Whatever came of its answer: it may have been sent twice.
    await carol.give(id);
    expect((await finance.get(`/requests/${id}`)).body).toMatchObject({ state: 'approved' });
    expect(await finance.post(`/requests/${id}/collect`)).toMatchObject({ status: 200 });
  });

  it('end with a word where their namespace of Temporal is not there', async () => {
    const worker = await stack.once('worker', { ATB_TEMPORAL_NAMESPACE: 'nowhere' });
    expect(worker).toMatchObject({ code: 1, said: expect.stringContaining('nowhere') });
  });

  it('end by themselves, with 1, where Temporal is not to be had: nothing that they opened keeps them', async () => {
    await stack.temporal.stop();
    for (const name of ['worker', 'agentauth'] as const) {
      const { code, said } = await stack.once(name);
      expect({ code, said }).toEqual({
        code: 1,
        said: expect.stringContaining(`${name}: Temporal cannot be reached at 127.0.0.1:`),
      });
    }
  });
});
