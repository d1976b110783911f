import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { commitmentTo } from '../../domain/commitment';
import type { Broker } from '../../apps/broker/broker';
import type { JsonObject } from '../../domain/json';
import { TestBroker } from '../support/broker';

let test: TestBroker;

beforeAll(async () => {
  test = await TestBroker.start();
});
afterAll(() => test.stop());
beforeEach(() => {
  test.seen.length = 0;
});

const BODY = '{"amount":100}';
/** What a broker says to what it cannot read in one way; which of them is for its parser to say. */
const UNREADABLE = ['call_malformed', 'target_malformed', 'parameter_ambiguous', 'header_forbidden'];

interface Sent {
  readonly line?: string;
  readonly host?: string | null;
  /** More header lines, as they go over the wire. */
  readonly headers?: string;
  readonly body?: string | Buffer;
  /** Instead of the true Content-Length. */
  readonly framing?: string;
}

/** A payment's bytes, with a mandate for it, but for what is said otherwise. */
function bytes(mandate: string, sent: Sent): Buffer {
  const body = Buffer.from(sent.body ?? BODY);
  const host = sent.host === undefined ? 'Host: localhost\r\n' : (sent.host ?? '');
  const head =
    `${sent.line ?? 'POST /c/erp/payments HTTP/1.1'}\r\n${host}Authorization: PoA ${mandate}\r\n` +
    `Content-Type: application/json\r\n${sent.headers ?? ''}` +
    `${sent.framing ?? `Content-Length: ${body.length}\r\n`}\r\n`;
  return Buffer.concat([Buffer.from(head, 'latin1'), body]);
}

/** The answers on one connection, in their order. */
function answersIn(text: string): readonly { readonly status: number; readonly code: string | undefined }[] {
  return text
    .split(/(?=HTTP\/1\.1 \d{3} )/)
    .filter((answer) => answer.startsWith('HTTP/1.1 '))
    .map((answer) => ({
      status: Number(answer.slice(9, 12)),
      code: /"code":"([a-z0-9_]+)"/.exec(answer)?.[1],
    }));
}

async function tried(
  sent: Sent | ((mandate: string) => Buffer | string),
  options: Parameters<TestBroker['raw']>[1] = {},
) {
  const mandate = await test.mint();
  const raw = typeof sent === 'function' ? sent(mandate) : bytes(mandate, sent);
  const answers = answersIn(await test.raw(raw, { quietMs: 150, ...options }));
  return { mandate, answers };
}

/** Refused with one of the codes, by one answer; nothing got through, and the mandate is good still (attack 39). */
async function refused(sent: Parameters<typeof tried>[0], ...codes: readonly string[]): Promise<void> {
  const { mandate, answers } = await tried(sent);
  expect(answers).toHaveLength(1);
  expect(codes).toContain(answers[0]?.code);
  expect(answers[0]?.status).toBeGreaterThanOrEqual(400);
  expect(answers[0]?.status).toBeLessThan(500);
  expect(test.seen).toHaveLength(0);
  expect((await test.pay(mandate)).status).toBe(200);
  test.seen.length = 0;
}

it('a call as it should be gets through by the same means', async () => {
  const { answers } = await tried({});
  expect(answers).toEqual([{ status: 200, code: undefined }]);
  expect(test.seen).toHaveLength(1);
});

describe('a value in more than one place, or in more than one way (attacks 26, 27)', () => {
  const body: readonly (readonly [string, string, string])[] = [
    ['another value', '{"amount":101}', 'parameter_mismatch'],
    ['a text that looks like the number', '{"amount":"100"}', 'parameter_mismatch'],
    ['a list', '{"amount":[100]}', 'parameter_mismatch'],
    ['an object', '{"amount":{"value":100}}', 'parameter_mismatch'],
    ['true', '{"amount":true}', 'parameter_mismatch'],
    ['null', '{"amount":null}', 'parameter_mismatch'],
    ['a number that a double would change', '{"amount":100.00000000000000001}', 'number_not_exact'],
    ['a key twice', '{"amount":100,"amount":99999}', 'duplicate_key'],
    ['a key twice, once escaped', '{"amount":100,"\\u0061mount":99999}', 'duplicate_key'],
    ['another spelling of the key', '{"Amount":100}', 'parameter_missing'],
    ['another spelling beside it', '{"amount":100,"Amount":99999}', 'parameter_not_approved'],
    ['a look-alike beside it', '{"amount":100,"аmount":99999}', 'parameter_not_approved'],
    ['a member that nobody named', '{"amount":100,"vendor":"V-9"}', 'parameter_not_approved'],
    ['a prototype', '{"amount":100,"__proto__":{"amount":99999}}', 'key_forbidden'],
    ['a list as the body', '[{"amount":100}]', 'parameter_missing'],
    ['a text as the body', '"amount=100"', 'parameter_missing'],
    ['two bodies', '{"amount":100}{"amount":99999}', 'body_not_json'],
    ['bytes after the body', '{"amount":100}\u0000', 'body_not_json'],
    ['a mark before the body', '\ufeff{"amount":100}', 'body_not_json'],
    ['a comment', '{"amount":100/*99999*/}', 'body_not_json'],
    ['no body', '', 'body_not_json'],
    ['a lone surrogate', '{"amount":100,"memo":"\\ud800"}', 'lone_surrogate'],
    ['a form', 'amount=100', 'body_not_json'],
  ];
  it.each(body)('%s in the body', (_, text, code) => refused({ body: text }, code));

  it('broken UTF-8 in the body', () =>
    refused(
      { body: Buffer.from([...Buffer.from('{"amount":100,"memo":"'), 0xc0, 0xaf, 0x22, 0x7d]) },
      'body_not_utf8',
    ));

  it.each([
    ['a form', 'application/x-www-form-urlencoded'],
    ['a form with parts', 'multipart/form-data; boundary=x'],
    ['XML', 'application/xml'],
    ['JSON in another encoding', 'application/json; charset=utf-16'],
    ['text', 'text/plain'],
  ])('%s by its media type', (_, type) =>
    refused(
      (mandate) =>
        bytes(mandate, {})
          .toString('latin1')
          .replace('Content-Type: application/json', `Content-Type: ${type}`),
      'media_type_unsupported',
    ),
  );

  it('two media types', () =>
    refused({ headers: 'Content-Type: application/x-www-form-urlencoded\r\n' }, 'parameter_ambiguous'));

  it.each<[string, string, string]>([
    ['in the query too', '?amount=100', 'parameter_not_approved'],
    ['in the query, with brackets', '?amount[]=100', 'target_malformed'],
    ['in the query, after a semicolon', '?memo=1;amount=99999', 'target_malformed'],
    ['twice in the query', '?amount=100&amount=99999', 'parameter_ambiguous'],
    ['twice in the query, once encoded', '?amount=100&%61mount=99999', 'target_malformed'],
    ['as a method in the query', '?_method=DELETE', 'parameter_not_approved'],
  ])('%s', (_, query, code) => refused({ line: `POST /c/erp/payments${query} HTTP/1.1` }, code));

  const read = async () =>
    test.mint({ act: 'crm.contact.read', con: { params: { contact_id: 'C-1' }, limits: {} }, tier: 'low' });

  it('path and query, which must agree', async () => {
    const bot = await test.caller();
    const get = async (path: string) =>
      bot.send('GET', path, undefined, { authorization: `PoA ${await read()}` });
    expect((await get('/c/erp/contacts/C-1?contact_id=C-1')).status).toBe(200);
    expect((await get('/c/erp/contacts/C-1?contact_id=C-2')).body.code).toBe('parameter_mismatch');
    expect((await get('/c/erp/contacts/C-2?contact_id=C-1')).body.code).toBe('parameter_mismatch');
    expect((await get('/c/erp/contacts/C-1?contact_id=C-1&contact_id=C-2')).body.code).toBe(
      'parameter_ambiguous',
    );
    expect((await get('/c/erp/contacts/C-1?page=2&page=3')).body.code).toBe('parameter_ambiguous');
    expect(test.seen.map(({ url }) => url)).toEqual(['/api/contacts/C-1?contact_id=C-1']);
  });

  it('path and body, which must agree', async () => {
    const sub = 'spiffe://corp.example/agent/crm-assistant';
    const assistant = await test.caller(sub);
    const put = async (body: unknown) => {
      const con = { params: { contact_id: 'C-1', phone: '1' }, limits: {} };
      const mandate = await test.mint({ sub, act: 'crm.contact.update', con, tier: 'medium' });
      return assistant.send('PUT', '/c/erp/contacts/C-1', JSON.stringify(body), {
        'content-type': 'application/json',
        authorization: `PoA ${mandate}`,
      });
    };
    expect((await put({ id: 'C-2', phone: '1' })).body.code).toBe('parameter_mismatch');
    expect((await put({ id: ['C-1'], phone: '1' })).body.code).toBe('parameter_mismatch');
    expect((await put({ id: 'C-1', phone: '1' })).status).toBe(200);
  });

  it('a body where the route takes none', async () => {
    const bot = await test.caller();
    const answer = await bot.send('GET', '/c/erp/contacts/C-1', BODY, {
      authorization: `PoA ${await read()}`,
      'content-type': 'application/json',
    });
    expect(answer.body.code).toBe('call_malformed');
    expect(test.seen).toHaveLength(0);
  });
});

describe('the action is the route, and nothing else names it (attacks 23, 24)', () => {
  it('a mandate to read performs no payment, and one to pay reads nothing', async () => {
    const read = await test.mint({ act: 'crm.contact.read', con: { params: { amount: 100 }, limits: {} } });
    expect((await test.pay(read)).body.code).toBe('mandate_action_mismatch');
    const bot = await test.caller();
    const answer = await bot.send('GET', '/c/erp/contacts/C-1', undefined, {
      authorization: `PoA ${await test.mint()}`,
    });
    expect(answer.body.code).toBe('mandate_action_mismatch');
    expect(test.seen).toHaveLength(0);
  });

  it.each(['GET', 'PUT', 'PATCH', 'DELETE', 'HEAD'])('%s where the route is a POST', (method) =>
    tried({ line: `${method} /c/erp/payments HTTP/1.1` }).then(({ answers }) => {
      expect(answers[0]?.status).toBe(404);
      expect(test.seen).toHaveLength(0);
    }),
  );

  it.each(['OPTIONS', 'TRACE', 'PROPFIND', 'PURGE', 'M-SEARCH'])('%s is no method here', (method) =>
    refused({ line: `${method} /c/erp/payments HTTP/1.1` }, 'method_not_allowed'),
  );

  it.each([
    ...['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override', 'x-original-url', 'X-Rewrite-URL'],
    ...['X-Original-Method', 'X-Forwarded-Prefix', 'X-ATB-Action', 'X-ATB-Connector'],
  ])('a header %s', (name) => refused({ headers: `${name}: DELETE\r\n` }, 'header_forbidden'));
});

describe('a target that another server could read in another way (attack 28)', () => {
  const targets = [
    ...['/c/erp/../erp/payments', '/c/erp/./payments', '/c/erp/x/../payments', '/c/../c/erp/payments'],
    ...[
      '/c/erp/%2e%2e/erp/payments',
      '/c/erp/%2E%2E/payments',
      '/c/erp/.%2e/payments',
      '/c/erp/%252e%252e/payments',
    ],
    ...['//c/erp/payments', '/c//erp/payments', '/c/erp//payments', '/c/erp/payments/', '/c/erp/payments//'],
    ...['/c/erp%2fpayments', '/c/erp/x%2F..%2Fpayments', '/c/erp/payments%2f', '/c/erp/payments%5c'],
    ...[
      '/c/erp\\payments',
      '\\c\\erp\\payments',
      '/c/erp/payments;x=1',
      '/c/erp;x/payments',
      '/c/erp/payments%3bx',
    ],
    ...['/c/erp/payments%00', '/c/erp/payments%0d%0aX:1', '/c/erp/payments%09', '/c/erp/payments%7f'],
    ...['/c/erp/%c0%afpayments', '/c/erp/%c0%ae%c0%ae/payments', '/c/erp/%e0%80%afpayments', '/c/erp/%ff'],
    ...[
      '/c/erp/%f0%80%80%af',
      '/c/erp/%ed%a0%80',
      '/c/erp/%70ayments',
      '/c/%65rp/payments',
      '/%63/erp/payments',
    ],
    ...[
      '/c/erp/payments%',
      '/c/erp/payments%2',
      '/c/erp/payments%zz',
      '/c/erp/payments%u0061',
      '/c/erp/payments#x',
    ],
    ...[
      '/c/erp/payments?%00=1',
      '/c/erp/payments?a',
      '/c/erp/payments?=1',
      '/c/erp/payments?a=b=c',
      '/c/erp/payments?&',
    ],
    ...[
      '/c/erp/payments?a=%c0%80',
      '/c/erp/payments?a=1+1',
      '/c/erp/payments\u00e9',
      '/c/erp/pay"ments',
      '/c/erp/{payments}',
    ],
  ];
  it.each(targets)('%s', (target) => refused({ line: `POST ${target} HTTP/1.1` }, ...UNREADABLE));

  it.each<[string, string]>([
    ['/c/erpx/payments', 'connector_unknown'],
    ['/c/erp.json/payments', 'not_found'],
    ['/c/ERP/payments', 'not_found'],
    ['/C/erp/payments', 'not_found'],
    ['/cc/erp/payments', 'not_found'],
    ['/c/erp', 'not_found'],
    ['/erp/payments', 'not_found'],
    ['/c/erp/Payments', 'route_unknown'],
    ['/c/erp/payments.json', 'route_unknown'],
    ['/c/erp/paymentsX', 'route_unknown'],
    ['/c/erp/api/payments', 'route_unknown'],
  ])('%s is another place, or none', (target, code) => refused({ line: `POST ${target} HTTP/1.1` }, code));

  it.each([
    ['https://localhost/c/erp/payments', 'POST https://localhost/c/erp/payments HTTP/1.1'],
    ['http://elsewhere.example/c/erp/payments', 'POST http://elsewhere.example/c/erp/payments HTTP/1.1'],
    ['an asterisk', 'POST * HTTP/1.1'],
    ['an authority', 'POST localhost:443 HTTP/1.1'],
  ])('absolute form: %s', (_, line) => refused({ line }, ...UNREADABLE));
});

describe('Host games (attack 31)', () => {
  it.each<[string, string | null]>([
    ['none', null],
    ['two', 'Host: localhost\r\nHost: elsewhere.example\r\n'],
    ['the same twice', 'Host: localhost\r\nhost: localhost\r\n'],
    ['folded', 'Host: localhost\r\n elsewhere.example\r\n'],
  ])('%s', (_, host) => refused({ host }, ...UNREADABLE));

  it('a foreign name in it, and in what proxies write, never reaches the system behind', async () => {
    const { answers } = await tried({
      host: 'Host: elsewhere.example\r\n',
      headers:
        'X-Forwarded-Host: elsewhere.example\r\nForwarded: host=elsewhere.example\r\nX-Forwarded-For: 10.0.0.1\r\n',
    });
    expect(answers[0]?.status).toBe(200);
    const [call] = test.seen;
    expect(call?.headers.host).toBe(`localhost:${test.upstreamPort}`);
    expect(JSON.stringify(call?.headers)).not.toMatch(/elsewhere|10\.0\.0\.1/);
  });
});

describe('hop-by-hop tricks (attack 31)', () => {
  it.each([
    ...[
      'Connection: authorization',
      'Connection: close, x-credential',
      'Connection: keep-alive, content-type',
    ],
    ...['Connection: upgrade', 'Proxy-Connection: keep-alive, authorization'],
  ])('%s', async (header) => {
    const { answers } = await tried({ headers: `${header}\r\n` });
    if (header.startsWith('Proxy-')) expect(answers[0]?.status).toBe(200);
    else expect(answers[0]?.code).toBe('header_forbidden');
    for (const { headers } of test.seen) expect(headers.authorization).toBe('Bearer erp-secret');
  });

  it('neither the mandate, nor cookies, nor what is between two hops goes further', async () => {
    const { answers, mandate } = await tried({
      headers:
        'TE: trailers\r\nKeep-Alive: timeout=9\r\nProxy-Authorization: Basic eDp5\r\nCookie: session=1\r\n' +
        'X-Api-Key: 1\r\nX-Client-Cert: x\r\nAuthorization2: x\r\n',
    });
    expect(answers[0]?.status).toBe(200);
    const [call] = test.seen;
    expect(Object.keys(call?.headers ?? {}).sort()).toEqual(
      [
        ...['accept-encoding', 'authorization', 'connection', 'content-length', 'content-type', 'host'],
        // Of the call's trace, and nothing of the agent.
        'traceparent',
      ].sort(),
    );
    expect(JSON.stringify(call)).not.toContain(mandate);
  });

  it('trailers are dropped', async () => {
    const { answers } = await tried({
      framing: 'Transfer-Encoding: chunked\r\nTrailer: authorization\r\n',
      body: `e\r\n${BODY}\r\n0\r\nAuthorization: Bearer mine\r\nAmount: 99999\r\n\r\n`,
    });
    expect(answers[0]?.status).toBe(200);
    expect(test.seen).toMatchObject([{ body: BODY, headers: { authorization: 'Bearer erp-secret' } }]);
    expect(JSON.stringify(test.seen)).not.toContain('99999');
  });
});

describe('request smuggling (attack 36)', () => {
  const inner = 'POST /c/erp/payments HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n';
  const chunked = `e\r\n${BODY}\r\n0\r\n\r\n`;
  it.each<[string, Sent]>([
    ['CL.TE', { framing: `Content-Length: 6\r\nTransfer-Encoding: chunked\r\n`, body: `0\r\n\r\n${inner}` }],
    ['TE.CL', { framing: `Transfer-Encoding: chunked\r\nContent-Length: 4\r\n`, body: `${chunked}${inner}` }],
    [
      'both, and both right',
      { framing: `Transfer-Encoding: chunked\r\nContent-Length: ${chunked.length}\r\n`, body: chunked },
    ],
    [
      'TE.TE with one that is none',
      { framing: 'Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n', body: chunked },
    ],
    ['Transfer-Encoding: identity', { framing: 'Transfer-Encoding: identity\r\n', body: BODY }],
    ['Transfer-Encoding: xchunked', { framing: 'Transfer-Encoding: xchunked\r\n', body: chunked }],
    [
      'Transfer-Encoding: chunked, identity',
      { framing: 'Transfer-Encoding: chunked, identity\r\n', body: chunked },
    ],
    ['Transfer-Encoding: gzip, chunked', { framing: 'Transfer-Encoding: gzip, chunked\r\n', body: chunked }],
    ['a blank before the colon', { framing: 'Transfer-Encoding : chunked\r\n', body: chunked }],
    ['obs-fold', { framing: 'Transfer-Encoding:\r\n chunked\r\n', body: chunked }],
    ['obs-fold in another header', { headers: 'X-A: b\r\n\tTransfer-Encoding: chunked\r\n' }],
    ['a control character in it', { framing: 'Transfer-Encoding: \u000bchunked\r\n', body: chunked }],
    ['two lengths', { framing: 'Content-Length: 14\r\nContent-Length: 4\r\n' }],
    ['the same length twice', { framing: 'Content-Length: 14\r\nContent-Length: 14\r\n' }],
    ['a list of lengths', { framing: 'Content-Length: 14, 14\r\n' }],
    ['a length with a sign', { framing: 'Content-Length: +14\r\n' }],
    ['a negative length', { framing: 'Content-Length: -1\r\n' }],
    ['a length in hexadecimal', { framing: 'Content-Length: 0xe\r\n' }],
    ['a length beyond all numbers', { framing: 'Content-Length: 99999999999999999999999\r\n' }],
    [
      'a chunk length with a prefix',
      { framing: 'Transfer-Encoding: chunked\r\n', body: `0xe\r\n${BODY}\r\n0\r\n\r\n` },
    ],
    [
      'a chunk length with a sign',
      { framing: 'Transfer-Encoding: chunked\r\n', body: `+e\r\n${BODY}\r\n0\r\n\r\n` },
    ],
    [
      'a chunk length beyond all numbers',
      {
        framing: 'Transfer-Encoding: chunked\r\n',
        body: `ffffffffffffffffff0000000e\r\n${BODY}\r\n0\r\n\r\n`,
      },
    ],
    [
      'a chunk that is longer than it says',
      { framing: 'Transfer-Encoding: chunked\r\n', body: `2\r\n${BODY}\r\n0\r\n\r\n` },
    ],
    [
      'bare line feeds between chunks',
      { framing: 'Transfer-Encoding: chunked\r\n', body: `e\n${BODY}\n0\n\n` },
    ],
    ['a bare line feed between headers', { headers: 'X-A: b\nTransfer-Encoding: chunked\r\n' }],
    ['a bare carriage return in a header', { headers: 'X-A: b\rTransfer-Encoding: chunked\r\n' }],
    ['a NUL in a header', { headers: 'X-A: b\u0000c\r\n' }],
    ['a NUL in a name', { headers: 'X\u0000A: b\r\n' }],
    ['a line without a colon', { headers: 'X-A\r\n' }],
    ['a name with a blank', { headers: 'X A: b\r\n' }],
    ['an empty name', { headers: ': b\r\n' }],
    ['blanks before the first header', { host: ' Host: localhost\r\n' }],
    ['HTTP/1.0', { line: 'POST /c/erp/payments HTTP/1.0' }],
    ['HTTP/2.0 in words', { line: 'POST /c/erp/payments HTTP/2.0' }],
    ['HTTP/0.9', { line: 'POST /c/erp/payments' }],
    ['a tab in the first line', { line: 'POST\t/c/erp/payments HTTP/1.1' }],
    ['more in the first line', { line: 'POST /c/erp/payments HTTP/1.1 x' }],
    ['the preface of HTTP/2', { line: 'PRI * HTTP/2.0\r\n\r\nSM' }],
    ['an expectation that is none of ours', { headers: 'Expect: 200-ok\r\n' }],
  ])('%s', (_, sent) => refused(sent, ...UNREADABLE, 'media_type_unsupported', 'body_not_json'));

  it('bytes after the length that was announced are no part of the call, and no second one', async () => {
    const { answers } = await tried(
      (mandate) => Buffer.concat([bytes(mandate, {}), Buffer.from('{"amount":99999}\r\n\r\n')]),
      { answers: 2 },
    );
    expect(answers.map(({ status }) => status)).toEqual([200, 400]);
    expect(test.seen.map(({ body }) => body)).toEqual([BODY]);
  });

  it('two calls one after the other on a connection are two calls, each with its own mandate', async () => {
    const [one, two] = [await test.mint(), await test.mint()];
    const calls = Buffer.concat([bytes(one, {}), bytes(two, {}), bytes(one, {})]);
    const text = await test.raw(calls, { answers: 3 });
    expect(answersIn(text)).toEqual([
      { status: 200, code: undefined },
      { status: 200, code: undefined },
      { status: 409, code: 'poa_single_use_replay_blocked' },
    ]);
  });
});

describe('upgrades (attack 33)', () => {
  it.each(['websocket', 'h2c', 'TLS/1.3', 'anything'])('%s is not gone along with', async (protocol) => {
    const { mandate, answers } = await tried((token) =>
      Buffer.concat([
        bytes(token, {
          headers: `Connection: Upgrade\r\nUpgrade: ${protocol}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n`,
        }),
        Buffer.from('whatever comes after'),
      ]),
    );
    expect(answers).toEqual([{ status: 400, code: 'upgrade_refused' }]);
    expect(test.seen).toHaveLength(0);
    expect((await test.pay(mandate)).status).toBe(200);
  });

  it('Upgrade without Connection', () => refused({ headers: 'Upgrade: websocket\r\n' }, 'upgrade_refused'));

  it('CONNECT opens no tunnel', async () => {
    const { answers } = await tried(
      (mandate) =>
        `CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\nAuthorization: PoA ${mandate}\r\n\r\nGET / HTTP/1.1\r\n\r\n`,
    );
    expect(answers).toEqual([{ status: 405, code: 'method_not_allowed' }]);
    expect(test.seen).toHaveLength(0);
  });
});

it('a call that was under way is answered before what comes behind it is refused', async () => {
  const before = test.answer;
  test.answer = (request, body, response) =>
    setTimeout(() => {
      before(request, body, response);
    }, 200);
  const behind = [
    'GET /c/erp/x HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    'CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n',
    'no HTTP at all\r\n\r\n',
  ];
  for (const bytesBehind of behind) {
    const { answers } = await tried(
      (mandate) => Buffer.concat([bytes(mandate, {}), Buffer.from(bytesBehind)]),
      { answers: 2 },
    );
    expect(answers.map(({ status }) => status)).toEqual([200, expect.any(Number)]);
    expect(answers[1]?.code).toMatch(/^(?:upgrade_refused|method_not_allowed|call_malformed)$/);
  }
  test.answer = before;
});

describe('who is slow or large (attack 36)', () => {
  let impatient: Broker;
  beforeAll(async () => {
    impatient = await test.startBroker({
      ...{ ATB_BROKER_HEADERS_TIMEOUT_MS: '1500', ATB_BROKER_REQUEST_TIMEOUT_MS: '2000' },
    });
  });
  afterAll(() => impatient.close());

  it('slow headers end in time', async () => {
    const { answers } = await tried(
      (mandate) =>
        `POST /c/erp/payments HTTP/1.1\r\nHost: localhost\r\nAuthorization: PoA ${mandate}\r\nX-Slow: `,
      { url: impatient.url },
    );
    expect(answers).toEqual([{ status: 408, code: 'request_timeout' }]);
  });

  it('a slow body ends in time, and leaves the mandate', async () => {
    const { mandate, answers } = await tried({ framing: 'Content-Length: 400\r\n' }, { url: impatient.url });
    expect(answers).toEqual([{ status: 408, code: 'request_timeout' }]);
    expect(test.seen).toHaveLength(0);
    expect((await test.pay(mandate)).status).toBe(200);
  });

  it('a body larger than the connector takes, announced', () =>
    refused({ body: JSON.stringify({ amount: 100, memo: 'x'.repeat(5_000) }) }, 'body_too_large'));

  it('a body larger than the connector takes, not announced', () =>
    refused(
      {
        framing: 'Transfer-Encoding: chunked\r\n',
        body: Array.from({ length: 400 }, () => `10\r\n${'x'.repeat(16)}\r\n`).join(''),
      },
      'body_too_large',
    ));

  it('one of gigabytes is not waited for', () =>
    refused({ framing: 'Content-Length: 40000000000\r\n' }, 'body_too_large'));

  it('more headers than are taken', async () => {
    const { answers } = await tried({
      headers: Array.from({ length: 3_000 }, (_, at) => `X-${at}: ${'y'.repeat(20)}\r\n`).join(''),
    });
    expect(answers).toHaveLength(1);
    expect(answers[0]?.code).toBe('call_malformed');
    expect(test.seen).toHaveLength(0);
  });

  it('no header is left out of sight behind many others (attacks 24, 27)', async () => {
    const many = Array.from({ length: 200 }, (_, at) => `X-${at}: y\r\n`).join('');
    await refused({ headers: `${many}X-HTTP-Method-Override: DELETE\r\n` }, 'call_malformed');
    await refused({ headers: `${many}Content-Type: text/plain\r\n` }, 'call_malformed');
  });

  it('a bomb of gzip is not unpacked', () =>
    refused(
      { headers: 'Content-Encoding: gzip\r\n', body: gzipSync(Buffer.alloc(1_000_000)) },
      'media_type_unsupported',
    ));

  it('an answer larger than the connector allows breaks off, and a packed one stays packed', async () => {
    const bomb = gzipSync(Buffer.alloc(20_000_000));
    expect(bomb.length).toBeLessThan(100_000);
    test.answer = (_, __, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' });
      response.end(bomb);
    };
    const claims = await test.claims();
    const answer = await test.raw(bytes(await test.keys.signer.sign(claims), {}));
    expect(Buffer.byteLength(answer, 'latin1')).toBeLessThan(bomb.length + 2_000);
    expect((await test.recorded(claims.req, 'poa_redemption_outcome')).data).toMatchObject({
      response_bytes: bomb.length,
      response_digest: commitmentTo({
        salt: claims.salt as string,
        name: '/data/response_digest',
        value: createHash('sha256').update(bomb).digest('base64url'),
      }),
    });
    test.answer = (_, __, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      for (let at = 0; at < 40; at++) response.write(Buffer.alloc(10_000, 0x20));
      response.end('{}');
    };
    const more = await test.claims();
    await test.raw(bytes(await test.keys.signer.sign(more), {}));
    expect((await test.recorded(more.req, 'poa_redemption_outcome')).data).toMatchObject({
      code: 'upstream_response_too_large',
    });
    test.answer = (_, __, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end('{}');
    };
  });
});

describe('what a system behind says of its answer', () => {
  /** The one answer to a payment that a system answered with these bytes, and what was recorded of it. */
  async function answeredWith(
    text: string,
  ): Promise<{ readonly answer: string; readonly outcome: JsonObject }> {
    const before = test.answer;
    test.answer = ({ socket }) => {
      socket.write(Buffer.from(text, 'latin1'));
    };
    const claims = await test.claims();
    const answer = await test.raw(bytes(await test.keys.signer.sign(claims), {}), { quietMs: 400 });
    test.answer = before;
    expect(answersIn(answer)).toHaveLength(1);
    // What lies there in wait reaches nobody else.
    const { status, body } = await test.pay(await test.mint());
    expect([status, body]).toEqual([200, {}]);
    return { answer, outcome: (await test.recorded(claims.req, 'poa_redemption_outcome')).data };
  }

  it('is taken in, also where Connection occurs twice: what it names goes no further', async () => {
    const { answer, outcome } = await answeredWith(
      'HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: x-hop\r\nX-Hop: 1\r\nContent-Length: 2\r\n\r\n{}',
    );
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    expect(answer).not.toMatch(/x-hop/i);
    expect(outcome).toMatchObject({ outcome: 'succeeded', status: 200, code: null });
  });

  it.each([
    ['204 No Content', 'hello'],
    ['204 No Content', ''],
    ['304 Not Modified', ''],
  ])('is no length of a body that there is not: %s, %j', async (status, body) => {
    const { answer, outcome } = await answeredWith(`HTTP/1.1 ${status}\r\nContent-Length: 5\r\n\r\n${body}`);
    expect(answer).toMatch(/^HTTP\/1\.1 (?:204|304) [^]*\r\n\r\n$/);
    expect(answer).not.toMatch(/content-length|hello/i);
    expect(outcome).toMatchObject({
      outcome: 'succeeded',
      status: Number(status.slice(0, 3)),
      response_bytes: 0,
    });
  });

  it.each([
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}'],
    [
      'a length and chunks',
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['a length beyond all', 'HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}'],
    ['another protocol', 'HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n'],
    ['a name that is none', 'HTTP/1.1 200 OK\r\nX(a: 1\r\nContent-Length: 2\r\n\r\n{}'],
  ])('is not believed where it cannot be read in one way: %s', async (_, text) => {
    const { answer, outcome } = await answeredWith(text);
    expect(answersIn(answer)).toEqual([{ status: 502, code: 'upstream_failed' }]);
    expect(outcome).toMatchObject({ outcome: 'unknown', status: null, code: 'upstream_failed' });
  });

  it('has an end: a second answer, bytes behind it and trailers are nobody’s', async () => {
    const whole = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}';
    const second =
      'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"stolen":1}';
    for (const text of [`${whole}${second}`, `${whole}secret: 1`]) {
      expect((await answeredWith(text)).answer).toMatch(/\r\n\r\n\{\}$/);
    }
    const { answer } = await answeredWith(
      'HTTP/1.1 200 OK\r\nConnection: close\r\nTrailer: x-t\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-T: 1\r\n\r\n',
    );
    expect(answer).not.toMatch(/x-t/i);
  });
});

describe('what a caller writes in headers (attack 37)', () => {
  it('is printable ASCII, and crashes nothing', async () => {
    await refused({ headers: 'X-Note: \u00ff\u00fe\r\n' }, 'call_malformed');
    await refused({ headers: 'X-Note: \u00c3\u00a9\r\n' }, 'call_malformed');
  });

  it('becomes no label of a metric', async () => {
    await refused({ line: 'POST /c/made-up-connector/payments HTTP/1.1' }, 'connector_unknown');
    await refused({ headers: 'X-ATB-Connector: made-up-header\r\n' }, 'header_forbidden');
    const metrics = await (await fetch(`${test.broker.adminUrl}/metrics`)).text();
    expect(metrics).toContain('atb_redemptions_total{connector="none",outcome="header_forbidden"}');
    expect(metrics).not.toContain('made-up');
  });
});

it('each of these refusals was recorded with its code and, where it is known, its caller (attack 40)', async () => {
  const refusals = await test.events('poa_redemption_refused');
  const codes = new Set(refusals.map(({ data }) => data.code));
  for (const code of [
    'call_malformed',
    'target_malformed',
    'upgrade_refused',
    'method_not_allowed',
    'request_timeout',
  ]) {
    expect([...codes]).toContain(code);
  }
  expect(refusals.filter(({ actor }) => actor === null)).toEqual([]);
  expect(test.defects).toEqual([]);
});
