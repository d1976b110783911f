import type { ServerResponse } from 'node:http';
import { PostgresLedger } from '../../adapters/postgres/ledger';
import { PostgresOutcomeWatch } from '../../adapters/postgres/outcome-watch';
import { OutcomeWatch } from '../../apps/worker/outcome-watch';
import type { MandateClaims } from '../../domain/mandate';
import { TestBroker } from '../support/broker';
import { eventually } from '../support/eventually';

const MISSING = 'poa_redemption_outcome_missing';
const CRM = 'spiffe://corp.example/agent/crm-assistant';
/** Well after every outcome of now. */
const HOURS = 2 * 3_600_000;

let test: TestBroker;
let ledger: PostgresLedger;
const stores: PostgresOutcomeWatch[] = [];
/** What the system behind was asked, and has not answered. */
const unanswered: ServerResponse[] = [];

beforeAll(async () => {
  test = await TestBroker.start({
    environment: { ALLOW_UNMANDATED_LOW_RISK: 'true' },
    // Longer than this test takes.
    connectors: (erp) => [
      { ...erp, timeouts: { first_byte_ms: 600_000, idle_ms: 600_000, total_ms: 600_000 } },
    ],
  });
  ledger = new PostgresLedger(test.postgres.serviceUrl);
  stores.push(...[1, 2].map(() => new PostgresOutcomeWatch(test.postgres.serviceUrl)));
});
afterAll(async () => {
  for (const store of stores) await store.end();
  await ledger.end();
  await test.stop();
});
beforeEach(() => {
  test.answer = done;
  unanswered.length = 0;
});
afterEach(() => {
  expect(test.defects).toEqual([]);
});

const done: TestBroker['answer'] = (_, __, response) => {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end('{"done":true}');
};
const hang: TestBroker['answer'] = (_, __, response) => {
  unanswered.push(response);
};

/** Two workers look at once, so long after now. */
async function look(laterMs = 0): Promise<void> {
  const clock = () => new Date(Date.now() + laterMs);
  await Promise.all(stores.map((store) => new OutcomeWatch(store, clock).look()));
}

async function told({ req }: Pick<MandateClaims, 'req'>): Promise<readonly string[]> {
  return (await ledger.events({ requestId: req, limit: 100 })).map(({ type }) => type);
}

/** A mandate that a broker marked used, which was killed when the system behind had its call. */
async function usedByKilled(): Promise<MandateClaims> {
  const caller = await test.caller(undefined, await test.brokerProcess());
  const claims = await test.claims();
  test.answer = () => {
    test.kill();
  };
  await expect(test.pay(await test.keys.signer.sign(claims), { caller })).rejects.toThrow();
  return claims;
}

/** A call that the system behind has, and does not answer yet. */
async function underWay() {
  const claims = await test.claims();
  const mandate = await test.keys.signer.sign(claims);
  test.answer = hang;
  const answer = test.pay(mandate);
  const [response] = await eventually(
    () => unanswered,
    ({ length }) => length > 0,
  );
  return { claims, answer, response };
}

describe('a call that a killed broker made (a crash leaves no gap in the audit)', () => {
  it('is told as one with a missing outcome, when its time is over, once', async () => {
    const claims = await usedByKilled();

    await look();
    expect(await told(claims)).toEqual(['poa_redeemed']);
    for (let times = 0; times < 3; times++) await look(HOURS);
    expect(await told(claims)).toEqual(['poa_redeemed', MISSING]);
    const used = await test.recorded(claims.req, 'poa_redeemed');
    const { subject, action, tier, traceId, data } = used;
    expect(await test.recorded(claims.req, MISSING)).toMatchObject({
      ...{ subject, action, tier, traceId, actor: null, reasons: ['outcome_unknown'] },
      data: {
        ...{ jti: claims.jti, connector: 'erp', route: 'POST /payments' },
        outcome_by: data.outcome_by,
      },
    });
    // The connector's ten minutes, and the five of ATB_OUTCOME_GRACE_SECONDS.
    const seconds = Number(data.outcome_by) - used.time.getTime() / 1000;
    expect(Math.floor(seconds)).toBeGreaterThanOrEqual(900);
  });

  it('also without a mandate, and when nobody looked before its time was over', async () => {
    const url = await test.brokerProcess({ ATB_OUTCOME_GRACE_SECONDS: '1' });
    test.answer = () => {
      test.kill();
    };
    const caller = await test.caller(CRM, url);
    await expect(caller.get('/c/erp/contacts/7')).rejects.toThrow();
    const before = (await test.events(MISSING)).length;
    await look(HOURS);
    expect((await test.events(MISSING)).slice(before)).toMatchObject([
      { subject: CRM, requestId: null, data: { jti: null, connector: 'erp' } },
    ]);
  });

  it('is found in a long log, by looking at a part of it at a time', async () => {
    const fill = `
      insert into audit_event (leaf) select replace(leaf, $1, $1 || '/' || $2 || n) from audit_event, generate_series(1, 6000) n
      where id = $1`;
    const [{ id } = { id: '' }] = await test.events('policy_loaded');
    await test.sql(fill, [id, 'before']);
    const claims = await usedByKilled();
    await test.sql(fill, [id, 'after']);
    await look();
    expect(await told(claims)).toEqual(['poa_redeemed']);
    await look(HOURS);
    expect(await told(claims)).toEqual(['poa_redeemed', MISSING]);
  });
});

describe('an outcome that comes after all', () => {
  it('is recorded beside the event that it was missing', async () => {
    const { claims, answer, response } = await underWay();
    await look();
    expect(await told(claims)).toEqual(['poa_redeemed']);
    await look(HOURS);
    expect(await told(claims)).toEqual(['poa_redeemed', MISSING]);
    response?.end('{}');
    expect(await answer).toMatchObject({ status: 200 });
    expect(await test.recorded(claims.req, 'poa_redemption_outcome')).toMatchObject({
      data: { outcome: 'succeeded', status: 200 },
    });
    await look(HOURS);
    expect(await told(claims)).toEqual(['poa_redeemed', MISSING, 'poa_redemption_outcome']);
  });
});

describe('no outcome is missing', () => {
  it('of a call that is under way, nor when it has ended', async () => {
    const { claims, answer, response } = await underWay();
    // Half of the answer is out, and its time is not over.
    response?.write('{');
    await look();
    expect(await told(claims)).toEqual(['poa_redeemed']);
    response?.end('}');
    await answer;
    await test.recorded(claims.req, 'poa_redemption_outcome');
    await look(HOURS);
    expect(await told(claims)).toEqual(['poa_redeemed', 'poa_redemption_outcome']);
  });

  it('of a mandate that a broker gave back before it was killed', async () => {
    const claims = await usedByKilled();
    const used = await test.recorded(claims.req, 'poa_redeemed');
    await ledger.append({
      ...{ ...used, id: used.id.replace('/redeemed', '/given_back'), type: 'poa_given_back' },
      data: { jti: claims.jti, code: 'upstream_unreachable' },
    });
    await look(HOURS);
    expect(await told(claims)).toEqual(['poa_redeemed', 'poa_given_back']);
  });

  it('of a use at a gateway, which makes the call itself', async () => {
    const claims = await test.claims();
    const evaluation = {
      subject: { type: 'agent', id: claims.sub },
      action: { name: claims.act },
      resource: {
        ...{ type: 'connector', id: 'erp' },
        properties: { method: 'POST', path: '/payments', body: { amount: 100 } },
      },
      context: { mandate: await test.keys.signer.sign(claims) },
    };
    const caller = await test.caller();
    expect(await caller.post('/access/v1/evaluation', evaluation)).toMatchObject({
      body: { decision: true },
    });
    await look(HOURS);
    expect(await told(claims)).toEqual(['poa_redeemed']);
  });
});

describe('a store that is away', () => {
  it('is told, and nothing is passed over', async () => {
    const claims = await usedByKilled();
    await test.postgres.stop();
    await expect(look(HOURS)).rejects.toMatchObject({ code: 'audit_unavailable' });
    await test.restartPostgres();
    await look(HOURS);
    expect(await told(claims)).toEqual(['poa_redeemed', MISSING]);
    // The broker misses it too.
    test.defects.length = 0;
  });
});
