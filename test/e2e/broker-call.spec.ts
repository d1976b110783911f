import { SILENT } from '../../apps/atb/dev/progress';
import { freePortBase, portsFrom } from '../../apps/atb/dev/ports';
import { startStack } from '../../apps/atb/dev/stack';
import { runAtb } from '../support/atb';
import { Approver } from '../support/approver';
import { HttpCaller } from '../support/http';
import { TestStack } from '../support/stack';
import { eventually, found } from '../support/eventually';

let stack: TestStack;
let bob: Approver;
let carol: Approver;

beforeAll(async () => {
  stack = await TestStack.start();
  bob = new Approver(stack, 'person/bob', 'compliance');
  carol = new Approver(stack, 'person/carol', 'security');
});

afterAll(() => stack.stop());

const GROUND = [
  ...['--jurisdiction', 'EU', '--accountable', 'employee:emp-200'],
  ...['--basis', 'CONTRACT', '--ref', 'MSA-12345'],
];

const HR_HELPER = 'spiffe://corp.example/agent/hr-helper';

/** What a command says and does, in this process; `heard` is told each remark as it comes. */
async function atb(
  argv: readonly string[],
  heard: (remark: string) => void = () => undefined,
  directory = stack.directory,
): Promise<{ readonly exitCode: number; readonly answer: Record<string, unknown>; readonly notes: string }> {
  const environment = { ATB_STATE_DIR: directory };
  const { exit, out, err } = await runAtb([...argv, '--json'], { environment, err: heard });
  return { exitCode: exit, answer: JSON.parse(out || '{}') as Record<string, unknown>, notes: err };
}

const call = (agent: string, words: readonly string[], heard?: (remark: string) => void) =>
  atb(['call', ...words, '--as', `agent/${agent}`, ...GROUND], heard);

describe('atb call', () => {
  it('does the whole round of what nobody has to approve', async () => {
    const { exitCode, answer, notes } = await call('crm-assistant', ['crm', 'GET', '/contacts/C-42']);
    expect(answer).toMatchObject({
      state: 'redeemed',
      tier: 'low',
      status: 200,
      body: { contact_id: 'C-42', name: 'Ada Example' },
    });
    expect(exitCode).toBe(0);
    expect(notes).toContain('this is crm.contact.read');
    expect(await stack.auditTypes(String(answer.request_id))).toEqual(
      expect.arrayContaining(['poa_requested', 'poa_issued', 'poa_redeemed']),
    );
  });

  it('is found again by who asked, in Temporal as in the audit log', async () => {
    const { answer } = await call('hr-helper', ['crm', 'GET', '/contacts/C-42']);
    for (const agent of ['agent/hr-helper', 'spiffe://corp.example/agent/hr-helper']) {
      const listed = await eventually(
        async () => (await atb(['ls', '--agent', agent])).answer.requests as object[],
        (requests) => requests.length > 0,
      );
      expect(listed).toMatchObject([{ request_id: answer.request_id, agent: HR_HELPER }]);
      const { events } = (await atb(['audit', 'ls', '--agent', agent])).answer;
      expect(events).toEqual(
        expect.arrayContaining([expect.objectContaining({ request_id: answer.request_id })]),
      );
    }
  });

  it('waits for people: what they approved is really paid, once, and stays so over a restart', async () => {
    const words = ['erp', 'POST', '/payments', '--data', '{"amount":12.5,"vendor_id":"V-2"}'];
    let id = '';
    const paying = await call('finance-bot', words, (remark) => {
      const asked = /asked: request (\S+)/.exec(remark)?.[1];
      if (asked === undefined) return;
      id = asked;
      void bob.give(asked).then(() => carol.give(asked));
    });
    expect(paying.answer).toMatchObject({ state: 'redeemed', status: 201, body: { amount: 12.5 } });
    expect(paying.exitCode).toBe(0);

    const again = await call('finance-bot', [...words, '--request', id]);
    expect(again.answer).toMatchObject({ code: 'poa_single_use_replay_blocked' });
    expect(again.exitCode).toBe(1);

    const vendor = ['erp', 'GET', '/vendors/V-2'];
    expect((await call('finance-bot', vendor)).answer).toMatchObject({ body: { paid: 12.5 } });

    const { payment_id: paymentId } = paying.answer.body as { readonly payment_id: string };
    await stack.stack.stop();
    const restarted = await startStack({
      stateDirectory: stack.directory,
      ports: portsFrom(await freePortBase()),
      progress: SILENT,
      onFatal: (error) => {
        throw error;
      },
    });
    try {
      expect((await call('finance-bot', vendor)).answer).toMatchObject({ body: { paid: 12.5 } });
      const payment = await call('finance-bot', ['erp', 'GET', `/payments/${paymentId}`]);
      expect(payment.answer).toMatchObject({ body: { amount: 12.5, vendor_id: 'V-2' } });
      // And the mandate is still used.
      expect((await call('finance-bot', [...words, '--request', id])).exitCode).toBe(1);
    } finally {
      await restarted.stop();
      stack = await TestStack.start();
      bob = new Approver(stack, 'person/bob', 'compliance');
      carol = new Approver(stack, 'person/carol', 'security');
    }
  }, 240_000);

  it('a payment that was booked before its transfer failed is really taken back, by the broker alone', async () => {
    const words = [
      'erp',
      'POST',
      '/payments',
      '--data',
      '{"amount":980,"vendor_id":"V-3","invoice_id":"INV-4711"}',
    ];
    let id = '';
    const paying = await call('finance-bot', [...words, '--reversal'], (remark) => {
      const asked = /asked: request (\S+)/.exec(remark)?.[1];
      if (asked === undefined) return;
      id = asked;
      void bob.give(asked).then(() => carol.give(asked));
    });
    expect(paying.answer).toMatchObject({
      state: 'redeemed',
      status: 502,
      body: { payment: { amount: 980 } },
    });
    const { payment } = paying.answer.body as { readonly payment: { readonly payment_id: string } };
    const read = async (path: string) =>
      (await call('finance-bot', ['erp', 'GET', path])).answer.body as Record<string, unknown>;
    const path = `/payments/${payment.payment_id}`;
    const paid = await eventually(
      () => read(path),
      ({ transfer }) => transfer === 'reversed',
    );
    expect(paid).toMatchObject({ amount: 980, transfer: 'reversed' });
    expect(await read('/vendors/V-3')).toMatchObject({ paid: 0 });
    expect(await read('/invoices/INV-4711')).toMatchObject({ state: 'open' });
    // The outcome is recorded beside the answer, and the reversal once the system behind has answered.
    const types = await eventually(
      () => stack.auditTypes(id),
      (all) => all.includes('poa_redemption_outcome') && all.includes('poa_reversed'),
    );
    const [others, outcome] = [[] as string[], [] as string[]];
    for (const type of types) (type === 'poa_redemption_outcome' ? outcome : others).push(type);
    expect(outcome).toHaveLength(1);
    expect(others).toEqual([
      ...['poa_requested', 'poa_verdict_recorded', 'poa_verdict_recorded', 'poa_issued_dual_control'],
      ...['poa_redeemed', 'poa_reversal_due', 'poa_reversal_redeemed', 'poa_reversed'],
    ]);
  });

  it('a contact is really changed, and nothing but what was approved', async () => {
    const words = ['crm', 'PATCH', '/contacts/C-43', '--data', '{"phone":"+41 44 000 00 99"}'];
    const changed = await call('crm-assistant', words, (remark) => {
      const asked = /asked: request (\S+)/.exec(remark)?.[1];
      if (asked !== undefined) void bob.give(asked);
    });
    expect(changed.answer).toMatchObject({ status: 200, body: { phone: '+41 44 000 00 99' } });
    const read = await call('crm-assistant', ['crm', 'GET', '/contacts/C-43']);
    expect(read.answer).toMatchObject({
      body: { name: 'Ben Example', email: 'ben@customer.example', phone: '+41 44 000 00 99' },
    });
  });

  it('says with its exit code that people did not decide in time, and goes on with --request', async () => {
    const words = ['erp', 'POST', '/orders', '--data', '{"order_id":"SO-77","quantity":2}'];
    const waited = await call('finance-bot', [...words, '--wait', '1']);
    expect(waited.exitCode).toBe(2);
    const id = /--request (\S+)/.exec(waited.notes)?.[1] ?? '';
    await bob.give(id);
    const done = await call('finance-bot', [...words, '--request', id]);
    expect(done).toMatchObject({ exitCode: 0, answer: { status: 201, body: { order_id: 'SO-77' } } });
  });

  it('tells apart what the broker refuses, what policy refuses, and what the system behind declines', async () => {
    expect(await call('finance-bot', ['erp', 'GET', '/nowhere'])).toMatchObject({
      exitCode: 1,
      answer: { code: 'route_unknown' },
    });
    expect(
      await call('crm-assistant', ['erp', 'POST', '/orders', '--data', '{"order_id":"SO-78"}']),
    ).toMatchObject({
      exitCode: 1,
      answer: { code: 'agent_not_allowed' },
    });
    expect(await call('finance-bot', ['erp', 'GET', '/orders/SO-none'])).toMatchObject({
      exitCode: 1,
      answer: { state: 'redeemed', status: 404 },
    });
  });
});

describe('the worker', () => {
  it('records that an outcome is missing, of a call whose broker was killed', async () => {
    const ledger = await stack.ledger();
    await call('crm-assistant', ['crm', 'GET', '/contacts/C-42']);
    const [used] = await ledger.events({ type: 'poa_redeemed', limit: 1 });
    // What a broker leaves that dies here.
    const [id, requestId] = ['redemption/killed/redeemed', 'killed'];
    const event = used as NonNullable<typeof used>;
    const data = { ...event.data, outcome_by: Math.floor(Date.now() / 1000) };
    await ledger.append({ ...event, id, requestId, data });
    const ofUse = await found(async () => {
      const events = await ledger.events({ requestId, limit: 10 });
      return events.length > 1 ? events : undefined;
    });
    expect(ofUse).toMatchObject([
      { id },
      { type: 'poa_redemption_outcome_missing', data: { jti: event.data.jti } },
    ]);
  });
});

describe('the systems behind', () => {
  it('let nobody in but the broker', async () => {
    const { stack: running } = stack;
    const erp = running.brokerUrl.replace(/\d+$/, (port) => String(Number(port) + 2));
    const agent = HttpCaller.fromFiles(erp, stack.trustBundle, stack.identity('agent/finance-bot'));
    const nobody = HttpCaller.fromFiles(erp, stack.trustBundle);
    try {
      expect((await agent.get('/orders')).status).toBe(403);
      expect((await nobody.get('/orders')).status).toBe(403);
    } finally {
      agent.close();
      nobody.close();
    }
  });
});
