import { once } from 'node:events';
import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http';
import { request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { FINANCE_BOT, TestBroker } from '../support/broker';
import { eventually, found } from '../support/eventually';

const MEBIBYTE = 1024 * 1024;
const LARGE_BYTES = 64 * MEBIBYTE;
const BODY = '{"amount":100}';

let test: TestBroker;

beforeAll(async () => {
  test = await TestBroker.start({
    connectors: (erp) => [
      {
        ...{ ...erp, id: 'brief', limits: { response_bytes: LARGE_BYTES } },
        timeouts: { connect_ms: 4_000, first_byte_ms: 4_000, idle_ms: 1_000, total_ms: 4_000 },
      },
      { ...erp, limits: { response_bytes: LARGE_BYTES } },
    ],
  });
});
afterAll(() => test.stop());

/** A payment on its way, over a connection of its own. */
async function payment(mandate: string, connector = 'erp'): Promise<ClientRequest> {
  const { cert, key } = await test.identity(FINANCE_BOT);
  const call = request(`${test.broker.url}/c/${connector}/payments`, {
    ...{ method: 'POST', ca: test.ca.certificatePem, cert, key, agent: false },
    headers: { authorization: `PoA ${mandate}`, 'content-type': 'application/json' },
  });
  call.on('error', () => undefined);
  call.end(BODY);
  return call;
}

/** The answer to a payment, when its head is there. */
async function pay(mandate: string, connector = 'erp'): Promise<IncomingMessage> {
  const [answer] = (await once(await payment(mandate, connector), 'response')) as [IncomingMessage];
  return answer;
}

describe('an answer is streamed', () => {
  it('its first bytes are there before the system has written the rest', async () => {
    let finish = (): void => undefined;
    test.answer = (_, __, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.write('{"first":1,');
      finish = () => response.end('"last":2}');
    };
    const answer = await pay(await test.mint());
    let text = '';
    answer.setEncoding('utf8').on('data', (part: string) => (text += part));
    const ended = once(answer, 'end');
    await eventually(
      () => text,
      (first) => first === '{"first":1,',
      10,
    );
    finish();
    await ended;
    expect(text).toBe('{"first":1,"last":2}');
  });

  it('at the pace of the agent: what it does not read stays in the system', async () => {
    let written: ServerResponse | undefined;
    test.answer = (_, __, response) => {
      written = response;
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(Buffer.alloc(LARGE_BYTES, 0x20));
    };
    const answer = await pay(await test.mint());
    await sleep(500);
    expect(written?.writableLength).toBeGreaterThan(LARGE_BYTES / 2);
    let bytes = 0;
    for await (const chunk of answer as AsyncIterable<Buffer>) bytes += chunk.length;
    expect(bytes).toBe(LARGE_BYTES);
  });

  it('and has an end where the agent stays and reads nothing (attack 36)', async () => {
    let isClosed = false;
    test.answer = (_, __, response) => {
      response.once('close', () => (isClosed = true));
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(Buffer.alloc(LARGE_BYTES, 0x20));
    };
    const claims = await test.claims();
    const answer = await pay(await test.keys.signer.sign(claims), 'brief');
    // From now on: nobody tells it twice.
    let broken: unknown;
    answer.once('error', (error) => (broken = error));
    await eventually(() => isClosed, Boolean);
    expect((await test.recorded(claims.req, 'poa_redemption_outcome')).data).toMatchObject({
      ...{ outcome: 'failed', status: 200, code: 'upstream_timeout' },
    });
    answer.resume();
    expect(await eventually(() => broken, Boolean)).toMatchObject({ code: 'ECONNRESET' });
  });

  it('and let go when the agent goes away, which its outcome tells', async () => {
    let isClosed = false;
    test.answer = (_, __, response) => {
      response.once('close', () => (isClosed = true));
      response.writeHead(200, { 'content-type': 'application/json' });
      response.write('{"first":1,');
    };
    const claims = await test.claims();
    const answer = await pay(await test.keys.signer.sign(claims));
    await once(answer, 'data');
    answer.destroy();
    await eventually(() => isClosed, Boolean);
    expect((await test.recorded(claims.req, 'poa_redemption_outcome')).data).toMatchObject({
      ...{ outcome: 'failed', status: 200, code: 'upstream_failed' },
    });
  });

  it('to nobody where the agent went away before the call was made, which its outcome tells too', async () => {
    test.answer = (_, __, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"done":true}');
    };
    const claims = await test.claims();
    const connections = async () =>
      /^atb_broker_connections (\d+)$/m.exec(
        await (await fetch(`${test.broker.adminUrl}/metrics`)).text(),
      )?.[1];
    // While its mark waits.
    const other = new Client({ connectionString: test.postgres.url });
    await other.connect();
    try {
      await other.query('begin; lock table redemption in exclusive mode');
      const call = await payment(await test.keys.signer.sign(claims));
      await found(async () => {
        const { rowCount } = await other.query('select from pg_locks where not granted');
        return rowCount === 0 ? undefined : true;
      });
      call.destroy();
      await eventually(connections, (open) => open === '0');
      await other.query('commit');
    } finally {
      await other.end();
    }
    expect((await test.recorded(claims.req, 'poa_redemption_outcome')).data).toMatchObject({
      ...{ outcome: 'failed', status: 200, code: 'upstream_failed' },
    });
  });
});
