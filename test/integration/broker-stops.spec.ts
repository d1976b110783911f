import type { Broker } from '../../apps/broker/broker';
import { FINANCE_BOT, TestBroker } from '../support/broker';
import type { HttpCaller } from '../support/http';

let test: TestBroker;
let second: Broker;
let callers: readonly HttpCaller[] = [];

beforeAll(async () => {
  test = await TestBroker.start();
  second = await test.another();
  callers = [await test.caller(), await test.caller(FINANCE_BOT, second.url)];
});
afterAll(() => test.stop());

const stop = (scope: string, value: string) =>
  test.sql('insert into stop (scope, value, stopped_at) values ($1, $2, now())', [scope, value]);
const lift = () => test.sql('update stop set lifted_at = now() where lifted_at is null');

/** What each broker answers to a payment under the request. */
async function answers(req?: string): Promise<readonly string[]> {
  return Promise.all(
    callers.map(async (caller) => {
      const mandate = await test.mint(req === undefined ? {} : { req });
      const { status, body } = await test.pay(mandate, { caller });
      return status === 200 ? 'allowed' : String(body.code);
    }),
  );
}

/** How long it takes until every broker answers so. */
async function until(wanted: string, req?: string): Promise<number> {
  const startedAt = performance.now();
  while (performance.now() - startedAt < 10_000) {
    if ((await answers(req)).every((answer) => answer === wanted)) return performance.now() - startedAt;
  }
  throw new Error(`not ${wanted} within ten seconds`);
}

describe('a stop is in force in all brokers within a second', () => {
  it.each([
    ['agent', FINANCE_BOT],
    ['connector', 'erp'],
    ['tier', 'high'],
    ['everything', '*'],
    ['request', 'stopped-request'],
  ])('of %s %s, and its lifting', async (scope, value) => {
    const req = scope === 'request' ? value : undefined;
    expect(await answers(req)).toEqual(['allowed', 'allowed']);
    await stop(scope, value);
    expect(await until('stopped', req)).toBeLessThan(1_000);
    await lift();
    expect(await until('allowed', req)).toBeLessThan(1_000);
    await test.sql('delete from stop');
  });

  it('also where the bell is not heard: they look', async () => {
    await test.sql('alter table stop disable trigger stop_rings');
    try {
      await stop('agent', FINANCE_BOT);
      expect(await until('stopped')).toBeLessThan(1_000);
      await lift();
      expect(await until('allowed')).toBeLessThan(1_000);
    } finally {
      await test.sql('alter table stop enable trigger stop_rings');
      await test.sql('delete from stop');
    }
  });

  it('that concerns somebody else stops nobody', async () => {
    await stop('agent', 'spiffe://corp.example/agent/crm-assistant');
    await stop('connector', 'crm');
    await stop('tier', 'low');
    await stop('request', 'another');
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(await answers()).toEqual(['allowed', 'allowed']);
    await test.sql('delete from stop');
  });

  it('is seen by the mark itself, where a broker has not heard of it yet', async () => {
    const deaf = await test.startBroker({
      ATB_REVOCATION_POLL_MS: '1000',
      ATB_REVOCATION_MAX_AGE_MS: '60000',
    });
    const caller = await test.caller(FINANCE_BOT, deaf.url);
    try {
      await test.sql('alter table stop disable trigger stop_rings');
      await stop('agent', FINANCE_BOT);
      const { body } = await test.pay(await test.mint(), { caller });
      expect(body.code).toBe('stopped');
    } finally {
      await test.sql('alter table stop enable trigger stop_rings');
      await test.sql('delete from stop');
      await deaf.close();
    }
  });
});

describe('a mandate that is revoked', () => {
  it.each(['by the bell', 'also where the bell is not heard'])(
    'is known to all brokers within a second, and not used anywhere before: %s',
    async (how) => {
      const isDeaf = how !== 'by the bell';
      if (isDeaf) await test.sql('alter table revocation disable trigger all');
      try {
        const claims = await test.claims();
        const mandate = await test.keys.signer.sign(claims);
        const sent = test.seen.length;
        await test.sql('insert into revocation (jti, revoked_at) values ($1, now())', [claims.jti]);
        const startedAt = performance.now();
        let codes: readonly unknown[] = [];
        while (!codes.every((code) => code === 'mandate_revoked') || codes.length === 0) {
          expect(performance.now() - startedAt).toBeLessThan(1_000);
          const told = await Promise.all(callers.map((caller) => test.pay(mandate, { caller })));
          expect(told.map(({ status }) => status)).toEqual([403, 403]);
          codes = told.map(({ body }) => body.code);
        }
        expect(test.seen).toHaveLength(sent);
        // No other mandate is concerned.
        expect(await answers()).toEqual(['allowed', 'allowed']);
      } finally {
        if (isDeaf) await test.sql('alter table revocation enable trigger all');
      }
    },
  );
});
