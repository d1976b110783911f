import { connect } from 'node:net';
import { createServer } from 'node:net';
import type { ServerResponse } from 'node:http';
import { FINANCE_BOT, IMPATIENT, TestBroker } from '../support/broker';
import { eventually } from '../support/eventually';
import type { HttpCaller } from '../support/http';

let test: TestBroker;
beforeAll(async () => {
  test = await TestBroker.start({
    // The system behind runs in this process, which is busy with a thousand connections for a while.
    connectors: (erp) => [
      erp,
      { ...erp, id: 'patient', timeouts: { connect_ms: 60_000, first_byte_ms: 60_000 } },
      { ...erp, id: 'impatient', timeouts: IMPATIENT },
    ],
  });
});
afterAll(() => test.stop());
beforeEach(() => {
  test.seen.length = 0;
});

const replayed = { status: 409, body: { code: 'poa_single_use_replay_blocked' } };

async function callers(url: string, count: number): Promise<readonly HttpCaller[]> {
  return Promise.all(Array.from({ length: count }, () => test.caller(FINANCE_BOT, url)));
}

describe('a mandate is used once (attack 30)', () => {
  it('of a thousand concurrent redemptions over two broker processes, one reaches the system behind', async () => {
    // A thousand handshakes at once may take this machine a while.
    const patient = { ATB_BROKER_HEADERS_TIMEOUT_MS: '60000', ATB_BROKER_REQUEST_TIMEOUT_MS: '60000' };
    const urls = [await test.brokerProcess(patient), await test.brokerProcess(patient)];
    const agents = (await Promise.all(urls.map((url) => callers(url, 8)))).flat();
    const claims = await test.claims();
    const mandate = await test.keys.signer.sign(claims);
    const answers = await Promise.all(
      Array.from({ length: 1000 }, async (_, index) => {
        const pay = () => test.pay(mandate, { caller: agents[index % agents.length], connector: 'patient' });
        let answer = await pay();
        // Told to try again, an agent does.
        for (let tries = 0; answer.status === 503 && tries < 20; tries++) answer = await pay();
        return answer;
      }),
    );
    const tally: Record<string, number> = {};
    for (const { status, body } of answers) {
      const outcome = status === 200 ? 'allowed' : String(body.code);
      tally[outcome] = (tally[outcome] ?? 0) + 1;
    }
    expect(tally).toEqual({ allowed: 1, poa_single_use_replay_blocked: 999 });
    expect(test.seen).toHaveLength(1);
    const events = (await test.events()).filter(({ requestId }) => requestId === claims.req);
    expect(events.filter(({ type }) => type === 'poa_redeemed')).toHaveLength(1);
    expect(events.filter(({ type }) => type === 'poa_single_use_replay_blocked')).toHaveLength(999);
  });

  it('also later, on another broker, and after a restart', async () => {
    const mandate = await test.mint();
    expect(await test.pay(mandate)).toMatchObject({ status: 200 });
    expect(await test.pay(mandate)).toMatchObject(replayed);
    const other = await test.another();
    const [elsewhere] = await callers(other.url, 1);
    expect(await test.pay(mandate, { caller: elsewhere })).toMatchObject(replayed);
    await test.broker.close();
    test.broker = await test.startBroker();
    const [again] = await callers(test.broker.url, 1);
    expect(await test.pay(mandate, { caller: again })).toMatchObject(replayed);
    expect(test.seen).toHaveLength(1);
    test.forgetCaller();
  });

  it('by its issuer and jti: the same id in another token is the same mandate', async () => {
    const claims = await test.claims();
    expect(await test.pay(await test.keys.signer.sign(claims))).toMatchObject({ status: 200 });
    const longer = await test.keys.signer.sign({ ...claims, exp: claims.exp + 30 });
    expect(await test.pay(longer)).toMatchObject(replayed);
    const reordered = test.forge(
      { kid: test.keys.signer.kid, typ: 'poa+jwt', alg: 'EdDSA' },
      Object.fromEntries(Object.entries(claims).reverse()),
    );
    expect(await test.pay(reordered)).toMatchObject(replayed);
    expect(test.seen).toHaveLength(1);
  });

  it('however it is written: padding, whitespace, and flipped trailing bits make no second mandate', async () => {
    const mandate = await test.mint();
    expect(await test.pay(mandate)).toMatchObject({ status: 200 });
    const [head = '', payload = '', signature = ''] = mandate.split('.');
    const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const last = ALPHABET.indexOf(signature.at(-1) ?? '');
    const spelled = [
      `${head}.${payload}.${signature}=`,
      `${head}.${payload}.${signature}==`,
      `${head}=.${payload}.${signature}`,
      ...[1, 2, 3].map((bit) => `${head}.${payload}.${signature.slice(0, -1)}${ALPHABET[last ^ bit] ?? ''}`),
      `${head}.${payload}.${signature.replaceAll('-', '+').replaceAll('_', '/')}+`,
      `${head}.${payload}. ${signature}`,
      `${head}.${payload}.${signature}.`,
      `${head}.${payload}%2E${signature}`,
    ];
    for (const other of spelled) {
      expect(await test.pay(other)).toMatchObject({ status: 400, body: { code: 'mandate_invalid' } });
    }
    expect(test.seen).toHaveLength(1);
  });

  it('whatever was refused before: a refusal marks nothing (attack 39)', async () => {
    const mandate = await test.mint();
    expect(await test.pay(mandate, { body: { amount: 101 } })).toMatchObject({
      status: 403,
      body: { code: 'parameter_mismatch' },
    });
    expect(await test.pay(mandate, { body: { amount: 100, to: 'me' } })).toMatchObject({ status: 403 });
    expect(await test.pay(mandate)).toMatchObject({ status: 200 });
  });
});

describe('when the system behind fails', () => {
  let answer: TestBroker['answer'];
  beforeAll(() => {
    ({ answer } = test);
  });
  afterEach(() => {
    test.answer = answer;
  });

  it('a connection that was never made gives the mandate back, once, and recorded', async () => {
    const down = await downBroker();
    try {
      const claims = await down.claims();
      const mandate = await down.keys.signer.sign(claims);
      expect(await down.pay(mandate)).toMatchObject({ status: 502, body: { code: 'upstream_unreachable' } });
      const given = await down.recorded(claims.req, 'poa_given_back');
      expect(given.data).toMatchObject({ jti: claims.jti, code: 'upstream_unreachable' });
      // The second time it is used up, though nothing was sent then either.
      expect(await down.pay(mandate)).toMatchObject({ status: 502, body: { code: 'upstream_unreachable' } });
      expect(await down.pay(mandate)).toMatchObject(replayed);
      const types = (await down.events())
        .filter(({ requestId }) => requestId === claims.req)
        .map(({ type }) => type);
      expect(types.filter((type) => type === 'poa_given_back')).toHaveLength(1);
      expect(types.filter((type) => type === 'poa_redeemed')).toHaveLength(2);
    } finally {
      await down.stop();
    }
  });

  it('a handshake that the system refuses gives it back: no byte of the call was sent', async () => {
    const refusing = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => refusing.listen(0, '127.0.0.1', resolve));
    const { port } = refusing.address() as { port: number };
    const broker = await TestBroker.start({
      connectors: (erp) => [
        {
          ...erp,
          upstream: { ...(erp.upstream as object), url: `https://localhost:${port}/api` },
          egress: { allow: [{ host: 'localhost', port }], private_addresses: ['127.0.0.0/8', '::1/128'] },
        },
      ],
    });
    try {
      const claims = await broker.claims();
      expect(await broker.pay(await broker.keys.signer.sign(claims))).toMatchObject({ status: 502 });
      expect((await broker.recorded(claims.req, 'poa_given_back')).data).toMatchObject({ jti: claims.jti });
    } finally {
      await broker.stop();
      refusing.close();
    }
  });

  it('a call that no connection came free for gives it back: no byte of it was sent', async () => {
    const held: ServerResponse[] = [];
    test.answer = (_, __, response) => {
      held.push(response);
    };
    const busy = Array.from({ length: 64 }, async () =>
      test.pay(await test.mint(), { connector: 'patient' }),
    );
    await eventually(
      () => held.length,
      (count) => count === 64,
    );
    const impatient = await test.caller();
    const claims = await test.claims();
    const mandate = await test.keys.signer.sign(claims);
    const givenUp = test.pay(mandate, { connector: 'patient', caller: impatient }).catch(() => 'given up');
    await test.recorded(claims.req, 'poa_redeemed');
    impatient.close();
    expect(await givenUp).toBe('given up');
    expect((await test.recorded(claims.req, 'poa_given_back')).data).toMatchObject({ jti: claims.jti });
    test.answer = answer;
    for (const response of held) response.end('{}');
    for (const paid of await Promise.all(busy)) expect(paid).toMatchObject({ status: 200 });
    expect(test.seen).toHaveLength(64);
    expect(await test.pay(mandate, { connector: 'patient' })).toMatchObject({ status: 200 });
  });

  it.each([
    [
      'breaks off without an answer',
      502,
      'upstream_failed',
      (response: Parameters<TestBroker['answer']>[2]) => response.destroy(),
    ],
    ['says nothing for too long', 504, 'upstream_timeout', () => undefined],
  ] as const)('a system that %s keeps it used', async (_, status, code, behave) => {
    test.answer = (__, ___, response) => {
      behave(response);
    };
    const claims = await test.claims();
    const mandate = await test.keys.signer.sign(claims);
    expect(await test.pay(mandate, { connector: 'impatient' })).toMatchObject({ status, body: { code } });
    test.answer = answer;
    expect(await test.pay(mandate)).toMatchObject(replayed);
    expect(test.seen).toHaveLength(1);
    expect((await test.recorded(claims.req, 'poa_redemption_outcome')).data).toMatchObject({
      outcome: 'unknown',
      status: null,
      code,
    });
    expect((await test.events('poa_given_back')).filter(({ requestId }) => requestId === claims.req)).toEqual(
      [],
    );
  });

  it.each([400, 409, 500, 503])(
    'an answer with status %i keeps it used, and is handed on',
    async (status) => {
      test.answer = (_, __, response) => {
        response.writeHead(status, { 'content-type': 'application/json' }).end('{"why":"no"}');
      };
      const mandate = await test.mint();
      expect(await test.pay(mandate)).toMatchObject({ status, body: { why: 'no' } });
      test.answer = answer;
      expect(await test.pay(mandate)).toMatchObject(replayed);
    },
  );

  it('an Idempotency-Key is passed on where the connector says so, and nowhere else', async () => {
    const headers = { 'idempotency-key': 'pay-4711' };
    expect(await test.pay(await test.mint(), { headers })).toMatchObject({ status: 200 });
    expect(test.seen[0]?.headers).toMatchObject(headers);
    const dropping = await TestBroker.start({
      connectors: (erp) => [{ ...erp, idempotency_key: 'drop' }],
    });
    try {
      expect(await dropping.pay(await dropping.mint(), { headers })).toMatchObject({ status: 200 });
      expect(dropping.seen[0]?.headers).not.toHaveProperty('idempotency-key');
    } finally {
      await dropping.stop();
    }
  });
});

describe('when the store is down', () => {
  it('everything is refused, and works again when it is back', async () => {
    const broker = await TestBroker.start({ environment: { ATB_REVOCATION_MAX_AGE_MS: '60000' } });
    try {
      const mandate = await broker.mint();
      expect(await broker.pay(await broker.mint())).toMatchObject({ status: 200 });
      await broker.postgres.stop();
      const refused = await broker.pay(mandate);
      expect(refused).toMatchObject({ status: 503, body: { code: 'audit_unavailable' } });
      expect(refused.headers['retry-after']).toBeDefined();
      expect(broker.seen).toHaveLength(1);
      await broker.restartPostgres();
      expect(await broker.pay(mandate)).toMatchObject({ status: 200 });
      expect(await broker.pay(mandate)).toMatchObject(replayed);
    } finally {
      await broker.stop();
    }
  });
});

/** A broker whose system behind is not there. */
async function downBroker(): Promise<TestBroker> {
  const broker = await TestBroker.start();
  broker.upstream.closeAllConnections();
  await new Promise((resolve) => broker.upstream.close(resolve));
  // Nobody listens there now.
  await new Promise<void>((resolve, reject) => {
    const probe = connect(broker.upstreamPort, '127.0.0.1', () => {
      reject(new Error('something listens'));
    });
    probe.on('error', () => {
      resolve();
    });
  });
  return broker;
}
