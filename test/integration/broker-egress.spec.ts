import type { LookupAddress } from 'node:dns';
import { TestBroker } from '../support/broker';
import type { HttpCaller } from '../support/http';

const NAME = 'erp.attacked.example';

let test: TestBroker;
let bot: HttpCaller;
let resolved: readonly LookupAddress[] = [];
let asked = 0;

/** The connector of the tests, somewhere else and with another egress list. */
function elsewhere(
  erp: Record<string, unknown>,
  id: string,
  url: string,
  egress: object,
): Record<string, unknown> {
  return { ...erp, id, upstream: { ...(erp.upstream as object), url, server_name: 'localhost' }, egress };
}

beforeAll(async () => {
  test = await TestBroker.start({
    resolver: () => {
      asked++;
      return Promise.resolve(resolved);
    },
    connectors: (erp, port) => [
      erp,
      elsewhere(erp, 'named', `https://${NAME}:${port}/api`, { allow: [{ host: NAME, port }] }),
      elsewhere(erp, 'home', `https://${NAME}:${port}/api`, {
        allow: [{ host: NAME, port }],
        private_addresses: ['127.0.0.1/32'],
      }),
      elsewhere(erp, 'empty', `https://localhost:${port}/api`, { allow: [] }),
      elsewhere(erp, 'other-host', `https://localhost:${port}/api`, {
        allow: [{ host: 'localhost.example', port }],
      }),
      elsewhere(erp, 'other-port', `https://localhost:${port}/api`, {
        allow: [{ host: 'localhost', port: port + 1 }],
        private_addresses: ['127.0.0.0/8'],
      }),
      elsewhere(erp, 'suffix', `https://localhost:${port}/api`, { allow: [{ host: 'host', port }] }),
      elsewhere(erp, 'star', `https://localhost:${port}/api`, { allow: [{ host: '*', port }] }),
      ...Object.entries({
        decimal: '2130706433',
        octal: '0177.0.0.1',
        hex: '0x7f.1',
        short: '127.1',
        mapped: '[::ffff:127.0.0.1]',
        'mapped-hex': '[::ffff:7f00:1]',
        loopback: '[::1]',
        any: '0.0.0.0',
        metadata: '169.254.169.254',
      }).map(([id, host]) => {
        const { hostname } = new URL(`https://${host}`);
        return elsewhere(erp, id, `https://${host}:${port}/api`, {
          // As an owner would list it who looks at the URL only.
          allow: [
            { host, port },
            { host: hostname.replace(/^\[|\]$/g, ''), port },
          ],
        });
      }),
    ],
  });
  bot = await test.caller();
});
afterAll(() => test.stop());
beforeEach(() => {
  test.seen.length = 0;
  asked = 0;
});

async function pay(connector: string, mandate?: string) {
  return bot.post(
    `/c/${connector}/payments`,
    { amount: 100 },
    {
      authorization: `PoA ${mandate ?? (await test.mint())}`,
    },
  );
}

/** Refused before anything was sent: the mandate is given back, and recorded so. */
async function goesNowhere(connector: string): Promise<void> {
  const claims = await test.claims();
  const mandate = await test.keys.signer.sign(claims);
  const answer = await pay(connector, mandate);
  expect(answer).toMatchObject({ status: 502, body: { code: 'egress_not_allowed' } });
  expect(test.seen).toHaveLength(0);
  expect((await test.recorded(claims.req, 'poa_given_back')).data).toMatchObject({
    code: 'egress_not_allowed',
  });
  resolved = [{ address: '127.0.0.1', family: 4 }];
  expect((await pay('home', mandate)).status).toBe(200);
}

describe('the egress list', () => {
  it('that is empty is nowhere (attack 32)', () => goesNowhere('empty'));

  it.each(['other-host', 'other-port', 'suffix', 'star'])('names whole hosts and ports: %s', goesNowhere);
});

describe('addresses that are not public, and not listed', () => {
  it.each(['decimal', 'octal', 'hex', 'short', 'mapped', 'mapped-hex', 'loopback', 'any', 'metadata'])(
    'are not reached by writing them as %s',
    goesNowhere,
  );

  it.each([
    ...['127.0.0.1', '127.9.9.9', '10.0.0.1', '172.16.0.1', '192.168.1.1', '169.254.169.254', '100.64.0.1'],
    ...['0.0.0.0', '192.0.0.1', '198.18.0.1', '224.0.0.1', '240.0.0.1', '255.255.255.255', '192.0.2.1'],
    ...[
      '::',
      '::1',
      '::ffff:127.0.0.1',
      '::ffff:7f00:1',
      '::ffff:10.0.0.1',
      '::ffff:169.254.169.254',
      '::127.0.0.1',
    ],
    ...[
      '64:ff9b::7f00:1',
      '64:ff9b:1::7f00:1',
      '2002:7f00:1::',
      '2001:0:7f00:1::',
      'fe80::1',
      'fc00::1',
      'fd00:ec2::254',
    ],
    ...['::7f00:1', '4000::1', 'fec0::1', 'ff02::1', '100::1', '2001:db8::1'],
  ])('are not reached by a name that leads to %s', async (address) => {
    resolved = [{ address, family: address.includes(':') ? 6 : 4 }];
    await goesNowhere('named');
  });

  it('are not reached behind a public one: all addresses of a name must be good', async () => {
    resolved = [
      { address: '93.184.216.34', family: 4 },
      { address: '10.0.0.1', family: 4 },
    ];
    await goesNowhere('named');
  });

  it('are reached where they are listed, and only those', async () => {
    resolved = [{ address: '127.0.0.1', family: 4 }];
    expect((await pay('home')).status).toBe(200);
    expect(test.seen[0]?.headers.host).toBe(`${NAME}:${test.upstreamPort}`);
  });
});

it('a name that answers otherwise the second time changes nothing: what was judged is what is connected to', async () => {
  const fresh = await test.startBroker();
  const caller = await test.caller(undefined, fresh.url);
  try {
    resolved = [{ address: '127.0.0.1', family: 4 }];
    asked = 0;
    const paid = test
      .mint()
      .then((mandate) =>
        caller.post('/c/home/payments', { amount: 100 }, { authorization: `PoA ${mandate}` }),
      );
    expect((await paid).status).toBe(200);
    // Resolved once for the connection, and not again between the judgement and the connection.
    expect(asked).toBe(1);
    // Rebound: the open connection stays where it is, and a new one is judged anew.
    resolved = [{ address: '10.0.0.1', family: 4 }];
    const again = await caller.post(
      '/c/home/payments',
      { amount: 100 },
      {
        authorization: `PoA ${await test.mint()}`,
      },
    );
    expect(again.status).toBe(200);
    expect(asked).toBe(1);
  } finally {
    await fresh.close();
  }
});

describe('a redirect', () => {
  beforeEach(() => {
    resolved = [{ address: '127.0.0.1', family: 4 }];
  });
  const sends = (location: string, status = 302) => {
    test.answer = (_, __, response) => {
      response.writeHead(status, { location }).end();
    };
  };

  it.each([
    ...[
      'http://169.254.169.254/latest/meta-data/',
      'https://elsewhere.example/',
      '//elsewhere.example/x',
      'file:///etc/passwd',
    ],
    ...[
      '/admin',
      '/api/../admin',
      'https://localhost:1/api/x',
      '\\\\elsewhere.example',
      'javascript:alert(1)',
    ],
  ])('to %s is followed by nobody, and not handed on', async (location) => {
    sends(location);
    const claims = await test.claims();
    const answer = await pay('erp', await test.keys.signer.sign(claims));
    expect(answer).toMatchObject({ status: 502, body: { code: 'upstream_redirect_refused' } });
    expect(answer.headers.location).toBeUndefined();
    expect(test.seen).toHaveLength(1);
    // Something was sent: the mandate is used.
    expect((await pay('erp', await test.keys.signer.sign(claims))).status).toBe(409);
  });

  it('to another place of the same system is told as a place of the broker', async () => {
    sends(`https://localhost:${test.upstreamPort}/api/payments/7?x=1`, 303);
    const answer = await pay('erp');
    expect(answer.status).toBe(303);
    expect(answer.headers.location).toBe('/c/erp/payments/7?x=1');
    expect(test.seen).toHaveLength(1);
  });
});
