import type { Broker } from '../../apps/broker/broker';
import { FINANCE_BOT, TestBroker } from '../support/broker';
import { bestTime, timed } from '../support/best-time';
import { eventually } from '../support/eventually';
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
  return timed(() =>
    eventually(
      () => answers(req),
      (all) => all.every((answer) => answer === wanted),
      1,
    ),
  );
}

const SECOND = 1_000;

/** Stops, and lifts it again; both within a second. */
async function isStoppedAndLifted(scope: string, value: string, req?: string): Promise<void> {
  const time = await bestTime(SECOND, async () => {
    await stop(scope, value);
    const stopped = await until('stopped', req);
    await lift();
    return Math.max(stopped, await until('allowed', req));
  });
  expect(time).toBeLessThan(SECOND);
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
    await isStoppedAndLifted(scope, value, req);
    await test.sql('delete from stop');
  });

  it('also where the bell is not heard: they look', async () => {
    await test.sql('alter table stop disable trigger stop_rings');
    try {
      await isStoppedAndLifted('agent', FINANCE_BOT);
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
        const time = await bestTime(SECOND, async () => {
          const claims = await test.claims();
          const mandate = await test.keys.signer.sign(claims);
          const sent = test.seen.length;
          await test.sql('insert into revocation (jti, revoked_at) values ($1, now())', [claims.jti]);
          const known = await timed(() =>
            eventually(
              async () => {
                const told = await Promise.all(callers.map((caller) => test.pay(mandate, { caller })));
                expect(told.map(({ status }) => status)).toEqual([403, 403]);
                return told.map(({ body }) => body.code);
              },
              (codes) => codes.every((code) => code === 'mandate_revoked'),
              1,
            ),
          );
          expect(test.seen).toHaveLength(sent);
          return known;
        });
        expect(time).toBeLessThan(SECOND);
        // No other mandate is concerned.
        expect(await answers()).toEqual(['allowed', 'allowed']);
      } finally {
        if (isDeaf) await test.sql('alter table revocation enable trigger all');
      }
    },
  );
});
