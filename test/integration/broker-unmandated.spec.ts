import { TestBroker } from '../support/broker';
import { eventually } from '../support/eventually';

const CRM = 'spiffe://corp.example/agent/crm-assistant';
const READ = '/c/erp/contacts/7';

let test: TestBroker;

beforeAll(async () => {
  test = await TestBroker.start({
    environment: { ALLOW_UNMANDATED_LOW_RISK: 'true' },
    connectors: (erp) => [
      {
        ...erp,
        routes: [
          ...(erp.routes as object[]),
          // A write that its route calls a read.
          {
            method: 'POST',
            path: '/contacts/search',
            action: 'crm.contact.read',
            parameters: { contact_id: [{ in: 'body', pointer: '/id' }] },
          },
          {
            method: 'GET',
            path: '/contacts/:contact_id/update',
            action: 'crm.contact.update',
            parameters: { contact_id: [{ in: 'path', name: 'contact_id' }] },
          },
          { method: 'GET', path: '/made-up', action: 'crm.made_up.read' },
        ],
      },
      { ...erp, id: 'closed', state: 'closed' },
    ],
  });
});
afterAll(() => test.stop());
beforeEach(() => {
  test.seen.length = 0;
});

describe('low risk without a mandate (operating model §3)', () => {
  it('passes for an allowed agent, a low tier and a read, and is logged as that', async () => {
    expect(await (await test.caller(CRM)).get(READ)).toMatchObject({ status: 200 });
    expect(test.seen).toMatchObject([{ method: 'GET', url: '/api/contacts/7' }]);
    expect((await test.events('poa_unmandated_low_risk')).at(-1)).toMatchObject({
      actor: CRM,
      action: 'crm.contact.read',
      tier: 'low',
      requestId: null,
      data: { connector: 'erp', method: 'GET' },
    });
    expect(await test.events('poa_redeemed')).toEqual([]);
  });

  it.each([
    ['a write', CRM, 'POST', '/c/erp/payments', 401, 'mandate_missing'],
    [
      'a method that is no read, for an action that is',
      CRM,
      'POST',
      '/c/erp/contacts/search',
      401,
      'mandate_missing',
    ],
    ['a higher tier, by a read method', CRM, 'GET', '/c/erp/contacts/7/update', 401, 'mandate_missing'],
    ['an action that the catalogue does not know', CRM, 'GET', '/c/erp/made-up', 401, 'mandate_missing'],
    ['somebody whom policy does not know', `${CRM}-2`, 'GET', READ, 403, 'agent_unknown'],
    ['a person', 'spiffe://corp.example/person/alice', 'GET', READ, 403, 'agent_unknown'],
    ['a connector that is closed', CRM, 'GET', '/c/closed/contacts/7', 403, 'connector_closed'],
    ['a connector that there is not', CRM, 'GET', '/c/none/contacts/7', 404, 'connector_unknown'],
    ['a route that there is not', CRM, 'GET', '/c/erp/invoices', 404, 'route_unknown'],
    [
      'a parameter that the route does not name',
      CRM,
      'GET',
      `${READ}?all=true`,
      403,
      'parameter_not_approved',
    ],
  ])('does not pass for %s', async (_, agent, method, path, status, code) => {
    const caller = await test.caller(agent);
    const refusals = async () => (await test.events('poa_redemption_refused')).map(({ data }) => data.code);
    const before = await refusals();
    const body = method !== 'POST' ? undefined : path.endsWith('search') ? '{"id":"7"}' : '{"amount":1}';
    const answer = await caller.send(
      method,
      path,
      body,
      body === undefined ? {} : { 'content-type': 'application/json' },
    );
    expect(answer).toMatchObject({ status });
    expect(answer.body.code).toBe(code);
    expect(test.seen).toHaveLength(0);
    expect(await refusals()).toEqual([...before, code]);
  });

  it('does not pass with a mandate that is not good: nothing is fallen back to (attack 1)', async () => {
    const caller = await test.caller(CRM);
    for (const authorization of ['PoA nonsense', 'Bearer x', `PoA ${await test.mint()}`]) {
      const answer = await caller.send('GET', READ, undefined, { authorization });
      expect(answer.status).toBeGreaterThanOrEqual(400);
    }
    expect(test.seen).toHaveLength(0);
  });

  it('does not pass without a certificate, nor with a DPoP proof and no mandate', async () => {
    const nobody = test.callerWith(undefined);
    expect(await nobody.get(READ)).toMatchObject({ status: 401, body: { code: 'certificate_missing' } });
    expect(
      await nobody.send('GET', READ, undefined, { dpop: 'x', authorization: 'PoA a.b.c' }),
    ).toMatchObject({
      status: 400,
    });
    expect(await (await test.caller(CRM)).send('GET', READ, undefined, { dpop: 'x' })).toMatchObject({
      status: 400,
      body: { code: 'credentials_ambiguous' },
    });
    expect(test.seen).toHaveLength(0);
  });

  it('does not pass for an agent or a connector that was stopped', async () => {
    await test.sql(`insert into stop (scope, value, stopped_at) values ('agent', '${CRM}', now())`);
    const bot = await test.caller(CRM);
    const read = () => bot.get(READ);
    const stopped = await eventually(read, ({ status }) => status !== 200);
    expect(stopped).toMatchObject({ status: 403, body: { code: 'stopped' } });
    await test.sql(`update stop set lifted_at = now()`);
    await eventually(read, ({ status }) => status === 200);
  });

  it('does not pass where it is not switched on, which is the default, and by nothing but the word true', async () => {
    const off = await test.startBroker({ ALLOW_UNMANDATED_LOW_RISK: 'false' });
    try {
      const caller = await test.caller(CRM, off.url);
      expect(await caller.get(READ)).toMatchObject({ status: 401, body: { code: 'mandate_missing' } });
      expect(
        await caller.send('GET', READ, undefined, { 'allow-unmandated-low-risk': 'true' }),
      ).toMatchObject({
        status: 401,
      });
    } finally {
      await off.close();
    }
    expect(() => test.startBroker({ ALLOW_UNMANDATED_LOW_RISK: 'yes please' })).toThrow(/true or false/);
  });
});
