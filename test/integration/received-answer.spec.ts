import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';
import { ReceivedAnswer } from '../../adapters/upstream/received-answer';
import type { UpstreamAnswer } from '../../adapters/upstream/received-answer';
import { eventually } from '../support/eventually';

const MEBIBYTE = 1024 * 1024;
const LARGE_BYTES = 64 * MEBIBYTE;

describe('an answer of a system behind, on its way in', () => {
  let server: Server;
  let pool: Pool;
  let answering: (response: ServerResponse) => void;
  let connection: Socket | undefined;

  beforeAll(async () => {
    server = createServer((request, response) => {
      connection = request.socket;
      answering(response);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    pool = new Pool(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, { pipelining: 1 });
  });

  afterAll(async () => {
    await pool.destroy();
    server.closeAllConnections();
    server.close();
  });

  const ask = (signal = new AbortController().signal) =>
    new Promise<UpstreamAnswer>((resolve, reject) => {
      pool.dispatch({ method: 'GET', path: '/' }, new ReceivedAnswer(signal, resolve, reject));
    });
  const bytesOf = async ({ body }: UpstreamAnswer) => {
    const chunks: Buffer[] = [];
    for await (const chunk of body) chunks.push(chunk);
    return Buffer.concat(chunks);
  };

  // What was unread comes to the system's side as a reset, which is an end of the connection as good as any.
  const isLetGo = () => eventually(() => connection?.closed, Boolean, 10);

  it('has its head before its body, and leaves out what only announces it', async () => {
    answering = (response) => {
      response.writeEarlyHints({ link: '</a>; rel=preload' });
      response.writeHead(201, { 'content-type': 'text/plain' });
      response.write('a');
      setTimeout(() => response.end('b'), 20);
    };
    const answer = await ask();
    expect(answer).toMatchObject({ statusCode: 201, headers: { 'content-type': 'text/plain' } });
    expect((await bytesOf(answer)).toString()).toBe('ab');
  });

  it('has the system wait while nobody reads, and is whole in the end', async () => {
    answering = (response) => {
      response.end(Buffer.alloc(LARGE_BYTES, 'x'));
    };
    const answer = await ask();
    await sleep(300);
    // What the network holds is little of it.
    expect(connection?.writableLength).toBeGreaterThan(LARGE_BYTES / 4);
    expect(await bytesOf(answer)).toHaveLength(LARGE_BYTES);
  });

  it('says so where it breaks off', async () => {
    answering = (response) => {
      response.writeHead(200, { 'content-length': '10' });
      response.write('half');
      setTimeout(() => response.destroy(), 20);
    };
    await expect(bytesOf(await ask())).rejects.toMatchObject({ code: expect.stringMatching(/^UND_ERR/) });
  });

  it('lets its connection go when nobody reads the rest', async () => {
    answering = (response) => {
      response.write('and so on');
    };
    const answer = await ask();
    answer.discard();
    await isLetGo();
    await expect(bytesOf(answer)).rejects.toThrow('nobody reads');
  });

  it.each(['before its head', 'within its body'])(
    'ends with the reason where it is given up %s',
    async (when) => {
      const given = new AbortController();
      const reason = new Error('given up');
      answering = (response) => {
        if (when === 'within its body') response.write('a');
        else given.abort(reason);
      };
      const read = ask(given.signal).then((answer) => {
        const bytes = bytesOf(answer);
        given.abort(reason);
        return bytes;
      });
      await expect(read).rejects.toBe(reason);
      await isLetGo();
    },
  );

  it('is not asked for at all where it was given up before', async () => {
    let asked = false;
    answering = () => {
      asked = true;
    };
    const reason = new Error('given up');
    await expect(ask(AbortSignal.abort(reason))).rejects.toMatchObject({
      ...{ name: 'NeverConnected', cause: reason },
    });
    await sleep(50);
    expect(asked).toBe(false);
  });
});
