import type { ServerResponse } from 'node:http';
import { randomBytes } from 'node:crypto';
import { PostgresLedger } from '../../adapters/postgres/ledger';
import { reversalClaimsOf } from '../../domain/mandate';
import type { MandateClaims, ReversalClaims } from '../../domain/mandate';
import { IMPATIENT, TestBroker } from '../support/broker';
import { found } from '../support/eventually';

/** A bank behind the broker, with real state: what it commits stays, whatever it answers. */
class Bank {
  paid = 0;
  /** Reversals by their Idempotency-Key: the same one again changes nothing. */
  readonly reversals = new Map<string, number>();
  /** How it answers a payment that it has committed. */
  afterPayment: (response: ServerResponse) => void = failed;
  /** Before it looks at a reversal; true where it has answered already. */
  beforeReversal: (response: ServerResponse) => boolean = () => false;
  afterReversal: (response: ServerResponse) => void = done;

  readonly answer: TestBroker['answer'] = ({ method, url, headers }, body, response) => {
    const { amount } = JSON.parse(body || '{}') as { amount: number };
    if (method === 'POST' && url === '/api/payments') {
      this.paid += amount;
      this.afterPayment(response);
      return;
    }
    if (this.beforeReversal(response)) return;
    const key = String(headers['idempotency-key']);
    if (!this.reversals.has(key)) this.paid -= amount;
    this.reversals.set(key, (this.reversals.get(key) ?? 0) + 1);
    this.afterReversal(response);
  };
}

const done = (response: ServerResponse) => response.writeHead(200).end('{"done":true}');
const failed = (response: ServerResponse) =>
  response.writeHead(502, { 'erp-outcome': 'committed' }).end('{"title":"the transfer failed"}');

const REVERSE = {
  method: 'POST',
  path: '/payments/reversals',
  action: 'sap.payment.reverse',
  parameters: { amount: [{ in: 'body', pointer: '/amount' }] },
};
const REPORT = { statuses: [502], header: { name: 'ERP-Outcome', value: 'committed' } };

/** Where nobody listens. */
const AWAY = {
  upstream: { url: 'http://127.0.0.1:1/api', allow_plain_http: true },
  egress: { allow: [{ host: '127.0.0.1', port: 1 }], private_addresses: ['127.0.0.0/8'] },
};

let test: TestBroker;
let ledger: PostgresLedger;
let bank: Bank;

async function start(idempotency_key = 'honoured'): Promise<TestBroker> {
  return TestBroker.start({
    connectors: (erp) => {
      const routes = [...(erp.routes as object[]), REVERSE];
      const able = { ...erp, idempotency_key, failure_after_commitment: REPORT, routes };
      return [
        able,
        { ...able, id: 'keyless', idempotency_key: 'drop' },
        { ...able, id: 'keyless-impatient', idempotency_key: 'drop', timeouts: IMPATIENT },
        { ...able, id: 'impatient', timeouts: IMPATIENT },
        { ...able, id: 'away', idempotency_key: 'drop', ...AWAY },
        { ...able, id: 'inside', ...AWAY, egress: { ...AWAY.egress, private_addresses: [] } },
        { ...able, id: 'silent', failure_after_commitment: undefined },
        { ...erp, id: 'final', failure_after_commitment: REPORT },
      ];
    },
  });
}

beforeAll(async () => {
  test = await start();
  // Two brokers look after what is owed.
  await test.another();
  ledger = new PostgresLedger(test.postgres.serviceUrl);
});
beforeEach(() => {
  bank = new Bank();
  test.answer = bank.answer;
});
afterAll(async () => {
  await ledger.end();
  await test.stop();
});

interface Pair {
  readonly claims: MandateClaims;
  readonly mandate: string;
  readonly reversal: string;
  readonly reversalJti: string;
}

/** Both halves, as the worker issues and keeps them; `changes` of the reversal alone. */
async function paired(
  amount = 100,
  changes: Partial<ReversalClaims> = {},
  broker: { test: TestBroker; ledger: PostgresLedger } = { test, ledger },
): Promise<Pair> {
  const now = Math.floor(Date.now() / 1000);
  const con = { params: { amount }, limits: {} };
  const rev = { act: REVERSE.action, con, jti: randomBytes(24).toString('base64url'), exp: now + 300 };
  const claims = await broker.test.claims({
    con: { params: { amount }, limits: { payment_limit: 100_000 } },
    rev,
  });
  const other = reversalClaimsOf(claims);
  if (!other) throw new Error('it has no reversal');
  const reversal = await broker.test.keys.signer.signReversal({ ...other, ...changes });
  await broker.ledger.keepReversal({
    claims: { ...other, exp: changes.exp ?? other.exp },
    mandate: reversal,
  });
  return { claims, mandate: await broker.test.keys.signer.sign(claims), reversal, reversalJti: rev.jti };
}

const pay = (pair: Pair, options: Parameters<TestBroker['pay']>[1] = {}) =>
  test.pay(pair.mandate, { body: { amount: pair.claims.con.params.amount }, ...options });

/** What is told of the pair so far. */
async function told({ claims }: Pick<Pair, 'claims'>): Promise<readonly string[]> {
  const events = (await test.events()).filter(({ requestId }) => requestId === claims.req);
  return events.map(({ type }) => type);
}

async function ended(pair: Pick<Pair, 'claims'>, type: 'poa_reversed' | 'poa_reversal_failed') {
  return found(async () => (await test.events(type)).find(({ data }) => data.reverses === pair.claims.jti));
}

/** As a broker leaves it that has written it down, and died. */
const owed = ({ claims }: Pick<Pair, 'claims'>) =>
  test.sql("update reversal set due_at = now(), connector = 'erp' where reverses = $1", [claims.jti]);

describe('a failure after commitment', () => {
  it('is reversed by the broker, exactly once, with what was approved', async () => {
    const pair = await paired(250);
    expect(await pay(pair)).toMatchObject({ status: 502, body: { title: 'the transfer failed' } });
    const { data, subject, actor, action } = await ended(pair, 'poa_reversed');
    expect(data).toEqual({ jti: pair.reversalJti, reverses: pair.claims.jti, connector: 'erp', status: 200 });
    expect({ subject, actor, action }).toEqual({
      ...{ subject: pair.claims.sub, actor: 'spiffe://corp.example/broker', action: REVERSE.action },
    });
    expect(bank.paid).toBe(0);
    expect([...bank.reversals]).toEqual([[pair.reversalJti, 1]]);
    const call = test.seen.at(-1);
    expect(call).toMatchObject({ method: 'POST', url: '/api/payments/reversals', body: '{"amount":250}' });
    expect(call?.headers).toMatchObject({
      ...{ authorization: 'Bearer erp-secret', 'idempotency-key': pair.reversalJti },
    });
    expect(await told(pair)).toEqual(
      expect.arrayContaining([
        ...['poa_redeemed', 'poa_reversal_due', 'poa_redemption_outcome'],
        ...['poa_reversal_redeemed', 'poa_reversed'],
      ]),
    );
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect([...bank.reversals]).toEqual([[pair.reversalJti, 1]]);
  });

  it('is owed before the agent hears of it', async () => {
    const pair = await paired();
    await pay(pair);
    expect(await told(pair)).toContain('poa_reversal_due');
    const [due, redeemed] = await Promise.all(
      ['poa_reversal_due', 'poa_redeemed'].map((type) => test.recorded(pair.claims.req, type)),
    );
    expect(due?.traceId).toMatch(/^[0-9a-f]{32}$/);
    expect(due?.traceId).toBe(redeemed?.traceId);
    await ended(pair, 'poa_reversed');
  });

  it('is tried again while the system is away, with the same Idempotency-Key', async () => {
    let refusals = 0;
    bank.beforeReversal = (response) => {
      refusals += 1;
      if (refusals > 2) return false;
      response.writeHead(refusals === 1 ? 503 : 429).end();
      return true;
    };
    const pair = await paired();
    await pay(pair);
    await ended(pair, 'poa_reversed');
    expect({ refusals, paid: bank.paid, reversals: [...bank.reversals] }).toEqual({
      ...{ refusals: 3, paid: 0, reversals: [[pair.reversalJti, 1]] },
    });
  });

  it('that the system will not take back is for people', async () => {
    bank.beforeReversal = (response) => {
      response.writeHead(409).end();
      return true;
    };
    const pair = await paired();
    await pay(pair);
    const { data, outcome } = { outcome: 'failure', ...(await ended(pair, 'poa_reversal_failed')) };
    expect(data).toMatchObject({ reverses: pair.claims.jti, status: 409, code: 'upstream_failed' });
    expect(outcome).toBe('failure');
    expect(bank.paid).toBe(100);
    bank.beforeReversal = () => false;
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(bank.reversals.size).toBe(0);
  });
});

describe('a system that might do twice what is sent twice', () => {
  /** As a broker leaves it that wrote it down, and perhaps sent it. */
  const left = ({ claims }: Pair, connector: string, sentAt: string | null) =>
    test.sql('update reversal set due_at = now(), connector = $2, sent_at = $3 where reverses = $1', [
      ...[claims.jti, connector, sentAt],
    ]);

  it('reverses once, without an Idempotency-Key', async () => {
    const pair = await paired();
    await left(pair, 'keyless', null);
    await ended(pair, 'poa_reversed');
    expect([...bank.reversals]).toEqual([['undefined', 1]]);
  });

  it('is asked again where it did nothing: it answered 429', async () => {
    let asked = 0;
    bank.beforeReversal = (response) => {
      asked += 1;
      if (asked > 1) return false;
      response.writeHead(429).end();
      return true;
    };
    const pair = await paired();
    await left(pair, 'keyless', null);
    await ended(pair, 'poa_reversed');
    expect({ asked, reversals: bank.reversals.size }).toEqual({ asked: 2, reversals: 1 });
  });

  it('is asked again where it was never reached', async () => {
    const pair = await paired();
    await left(pair, 'away', null);
    await found(async () =>
      (await test.events('poa_reversal_redeemed')).find(({ data }) => data.reverses === pair.claims.jti),
    );
    await new Promise((resolve) => setTimeout(resolve, 500));
    await left(pair, 'keyless', null);
    await ended(pair, 'poa_reversed');
    expect(await told(pair)).not.toContain('poa_reversal_failed');
  });

  it('is not asked where its connector leads to where nobody may go, and the reason is told', async () => {
    const pair = await paired();
    await left(pair, 'inside', null);
    const { reasons, data } = await ended(pair, 'poa_reversal_failed');
    expect({ reasons, code: data.code }).toEqual({
      ...{ reasons: ['egress_not_allowed'], code: 'egress_not_allowed' },
    });
  });

  it.each<[string, number | null, (response: ServerResponse) => void]>([
    ['breaks off', null, (response) => response.destroy()],
    ['never answers', null, () => undefined],
    ['answers 503', 503, (response) => response.writeHead(503).end()],
  ])('is not asked again where it %s: a person looks', async (_, status, answer) => {
    bank.afterReversal = answer;
    const pair = await paired();
    await left(pair, 'keyless-impatient', null);
    expect((await ended(pair, 'poa_reversal_failed')).data).toMatchObject({
      status,
      code: 'outcome_unknown',
    });
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect([...bank.reversals.values()]).toEqual([1]);
  });

  it('is not asked again where a broker died that may have asked', async () => {
    const pair = await paired();
    await left(pair, 'keyless', new Date().toISOString());
    expect((await ended(pair, 'poa_reversal_failed')).data).toMatchObject({
      ...{ status: null, code: 'outcome_unknown' },
    });
    expect(bank.reversals.size).toBe(0);
  });
});

describe('no failure after commitment', () => {
  it.each([
    ['a success', (response: ServerResponse) => done(response)],
    [
      'a success that says so',
      (response: ServerResponse) => response.writeHead(200, { 'erp-outcome': 'committed' }).end('{}'),
    ],
    ['a refusal', (response: ServerResponse) => response.writeHead(422).end('{}')],
    ['a failure before commitment', (response: ServerResponse) => response.writeHead(502).end('{}')],
    [
      'another status with the header',
      (response: ServerResponse) => response.writeHead(500, { 'erp-outcome': 'committed' }).end('{}'),
    ],
    [
      'another value of the header',
      (response: ServerResponse) => response.writeHead(502, { 'erp-outcome': 'Committed' }).end('{}'),
    ],
  ])('%s is never reversed, and nobody is told of any', async (_, answer) => {
    bank.afterPayment = answer;
    const pair = await paired();
    await pay(pair);
    await test.recorded(pair.claims.req, 'poa_redemption_outcome');
    await test.sql("update reversal set expires_at = now() - interval '2 minutes' where reverses = $1", [
      pair.claims.jti,
    ]);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(await told(pair)).toEqual(['poa_redeemed', 'poa_redemption_outcome']);
    expect(bank.reversals.size).toBe(0);
  });

  it.each([
    ['breaks off', (response: ServerResponse) => response.destroy()],
    ['never answers', () => undefined],
  ])('a system that %s is not reversed unasked: people are told that nobody knows', async (_, answer) => {
    bank.afterPayment = answer;
    const pair = await paired();
    await pay(pair, { connector: 'impatient' });
    await test.recorded(pair.claims.req, 'poa_redemption_outcome');
    await test.sql("update reversal set expires_at = now() - interval '2 minutes' where reverses = $1", [
      pair.claims.jti,
    ]);
    expect((await ended(pair, 'poa_reversal_failed')).data).toMatchObject({ code: 'outcome_unknown' });
    expect(bank.reversals.size).toBe(0);
  });
});

describe('only the broker redeems a reversal', () => {
  it('and never an agent that shows it, whatever it calls', async () => {
    const pair = await paired();
    const caller = await test.caller();
    for (const path of ['/c/erp/payments/reversals', '/c/erp/payments']) {
      expect(
        await caller.post(path, { amount: 100 }, { authorization: `PoA ${pair.reversal}` }),
      ).toMatchObject({ status: 400, body: { code: 'mandate_invalid' } });
    }
    expect(bank.reversals.size).toBe(0);
    expect(await told(pair)).not.toContain('poa_reversal_redeemed');
  });

  it.each<[string, string, Partial<ReversalClaims>]>([
    [
      'lapsed',
      'mandate_lapsed',
      {
        exp: Math.floor(Date.now() / 1000) - 40,
        iat: Math.floor(Date.now() / 1000) - 300,
        nbf: Math.floor(Date.now() / 1000) - 300,
      },
    ],
    ['of another broker', 'agent_mismatch', { sub: 'spiffe://corp.example/other-broker' }],
    ['for something else', 'mandate_invalid', { jti: 'another' }],
    ['of another action', 'reversal_not_possible', { rev: { jti: 'x', act: 'erp.order.create', sub: 'y' } }],
  ])('not where it is %s', async (_, code, changes) => {
    const pair = await paired(100, changes);
    if (changes.rev) {
      const other = reversalClaimsOf(pair.claims);
      const claims = {
        ...(other as ReversalClaims),
        rev: { ...(other as ReversalClaims).rev, act: changes.rev.act },
      };
      const mandate = await test.keys.signer.signReversal(claims);
      await test.sql('update reversal set mandate = $1 where reverses = $2', [mandate, pair.claims.jti]);
    }
    await owed(pair);
    const { data } = await ended(pair, 'poa_reversal_failed');
    expect(data.code).toBe(code);
    expect(bank.reversals.size).toBe(0);
  });

  it('not by a mandate of the other type, nor by one that somebody wrote into the table', async () => {
    for (const other of ['agent', 'made up']) {
      const pair = await paired();
      const mandate = other === 'agent' ? pair.mandate : pair.reversal.replace(/.{8}$/, 'AAAAAAAA');
      await test.sql('update reversal set mandate = $1 where reverses = $2', [mandate, pair.claims.jti]);
      await owed(pair);
      expect((await ended(pair, 'poa_reversal_failed')).data.code).toBe('mandate_invalid');
    }
    expect(bank.reversals.size).toBe(0);
  });

  it.each([
    ['revoked', 'mandate_revoked'],
    ['its request stopped', 'stopped'],
  ])('not once it is %s', async (how, code) => {
    const pair = await paired();
    if (how === 'revoked') {
      await test.sql('insert into revocation (jti, revoked_at) values ($1, now())', [pair.reversalJti]);
    } else {
      await test.sql("insert into stop (scope, value, stopped_at) values ('request', $1, now())", [
        pair.claims.req,
      ]);
    }
    await owed(pair);
    expect((await ended(pair, 'poa_reversal_failed')).data.code).toBe(code);
    expect(bank.reversals.size).toBe(0);
  });
});

describe('a mandate with a reversal', () => {
  it.each([
    ['that reports no failures', 'silent'],
    ['without a route for the reversing action', 'final'],
  ])('is not used on a connector %s, and stays good', async (_, connector) => {
    const pair = await paired();
    bank.afterPayment = done;
    expect(await pay(pair, { connector })).toMatchObject({
      ...{ status: 403, body: { code: 'reversal_not_possible' } },
    });
    expect(bank.paid).toBe(0);
    expect(await pay(pair)).toMatchObject({ status: 200 });
  });
});

describe('a gateway that hands on the answer itself', () => {
  it('is told no, and the mandate stays good: nobody would tell us of a failure', async () => {
    const pair = await paired();
    const caller = await test.caller();
    const evaluation = {
      subject: { type: 'agent', id: pair.claims.sub },
      action: { name: pair.claims.act },
      resource: {
        ...{ type: 'connector', id: 'erp' },
        properties: { method: 'POST', path: '/payments', body: { amount: 100 } },
      },
      context: { mandate: pair.mandate },
    };
    expect(await caller.post('/access/v1/evaluation', evaluation)).toMatchObject({
      body: { decision: false, context: { code: 'reversal_not_possible' } },
    });
    bank.afterPayment = done;
    expect(await pay(pair)).toMatchObject({ status: 200 });
  });
});

describe('a broker that is killed', () => {
  it('after it wrote down what is owed: another does it, once', async () => {
    const pair = await paired(70);
    bank.paid = 70;
    await owed(pair);
    await ended(pair, 'poa_reversed');
    expect({ paid: bank.paid, reversals: [...bank.reversals] }).toEqual({
      ...{ paid: 0, reversals: [[pair.reversalJti, 1]] },
    });
  });

  it.each([
    ['honours the key: another sends the same again, and it is reversed once', 'honoured', 2, 'poa_reversed'],
    ['may not know it: nobody sends it again, and a person looks', 'forward', 1, 'poa_reversal_failed'],
  ] as const)('while the system reverses, which %s', async (_, idempotency, sent, end) => {
    const killed = await start(idempotency);
    const itsLedger = new PostgresLedger(killed.postgres.serviceUrl);
    const itsBank = new Bank();
    killed.answer = itsBank.answer;
    try {
      await killed.broker.close();
      const url = await killed.brokerProcess({ ATB_BROKER_PORT: '0', ATB_BROKER_ADMIN_PORT: '0' });
      const dead = new Promise<void>((resolve) => {
        itsBank.afterReversal = (response) => {
          itsBank.afterReversal = done;
          killed.kill();
          response.destroy();
          resolve();
        };
      });
      const pair = await paired(90, {}, { test: killed, ledger: itsLedger });
      const caller = await killed.caller(undefined, url);
      // It may die before it answers.
      await killed.pay(pair.mandate, { body: { amount: 90 }, caller }).catch(() => undefined);
      await dead;
      expect([...itsBank.reversals]).toEqual([[pair.reversalJti, 1]]);
      // Its lease would end by itself, after twenty seconds.
      await killed.sql('update reversal set leased_until = now()');
      killed.broker = await killed.startBroker();
      await found(async () =>
        (await killed.events(end)).find(({ requestId }) => requestId === pair.claims.req),
      );
      expect({ paid: itsBank.paid, reversals: [...itsBank.reversals] }).toEqual({
        ...{ paid: 0, reversals: [[pair.reversalJti, sent]] },
      });
      expect(await killed.events('poa_reversal_redeemed')).toHaveLength(1);
    } finally {
      await itsLedger.end();
      await killed.stop();
    }
  });
});
