import { FINANCE_BOT, TestBroker } from '../support/broker';

let test: TestBroker;

beforeAll(async () => {
  test = await TestBroker.start();
});
afterAll(() => test.stop());
beforeEach(() => {
  test.seen.length = 0;
});

describe('a call with a mandate', () => {
  it('reaches the system behind as it was approved, with the credential of the connector and without the mandate (attack 31)', async () => {
    const answer = await test.pay(await test.mint(), {
      body: { amount: 100, memo: 'rent' },
      headers: {
        'idempotency-key': 'k-1',
        cookie: 'session=1',
        'x-forwarded-for': '10.0.0.1',
        'x-evil': 'yes',
      },
    });
    expect(answer).toMatchObject({ status: 200, body: { done: true } });
    expect(test.seen).toHaveLength(1);
    const [seen] = test.seen;
    expect(seen).toMatchObject({
      method: 'POST',
      url: '/api/payments',
      body: '{"amount":100,"memo":"rent"}',
      by: expect.stringContaining('spiffe://corp.example/broker'),
    });
    expect(seen?.headers).toMatchObject({ authorization: 'Bearer erp-secret', 'idempotency-key': 'k-1' });
    expect(seen?.headers.host).toBe(`localhost:${test.upstreamPort}`);
    for (const name of ['cookie', 'x-forwarded-for', 'x-evil'])
      expect(seen?.headers).not.toHaveProperty(name);
  });

  it('is told in two events: the mark before, the outcome after, with the target that was called (attack 43)', async () => {
    const claims = await test.claims();
    await test.pay(await test.keys.signer.sign(claims));
    await test.recorded(claims.req, 'poa_redemption_outcome');
    const [redeemed, outcome] = (await test.events()).filter(({ requestId }) => requestId === claims.req);
    expect(redeemed).toMatchObject({
      type: 'poa_redeemed',
      actor: FINANCE_BOT,
      action: 'sap.payment.execute',
      tier: 'high',
      data: {
        jti: claims.jti,
        connector: 'erp',
        target: `https://localhost:${test.upstreamPort}/api/payments`,
      },
    });
    expect(outcome?.data).toMatchObject({
      jti: claims.jti,
      outcome: 'succeeded',
      status: 200,
      response_bytes: 13,
    });
  });

  it('works once', async () => {
    const mandate = await test.mint();
    expect(await test.pay(mandate)).toMatchObject({ status: 200 });
    expect(await test.pay(mandate)).toMatchObject({
      status: 409,
      body: { code: 'poa_single_use_replay_blocked' },
    });
    expect(test.seen).toHaveLength(1);
    expect((await test.events('poa_single_use_replay_blocked')).length).toBeGreaterThan(0);
  });

  it('that comes without a mandate is told what one would have to be for', async () => {
    const bot = await test.caller();
    const refused = await bot.post('/c/erp/payments', { amount: 12 });
    expect(refused).toMatchObject({
      status: 401,
      body: {
        code: 'mandate_missing',
        needed: { act: 'sap.payment.execute', con: { params: { amount: 12 } } },
      },
    });
    const mandate = await test.mint({ con: { params: { amount: 12 }, limits: { payment_limit: 100_000 } } });
    expect((await test.pay(mandate, { body: { amount: 12 } })).status).toBe(200);
  });
});
