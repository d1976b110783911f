import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, Server } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { bodyOf } from '../../apps/broker/body';

const LIMIT_BYTES = 1_000;

describe('the body of a call', () => {
  let server: Server;
  let caller: Socket;

  beforeAll(async () => {
    server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  /** A call of ten bytes of which these have come. */
  async function called(bytes: string): Promise<IncomingMessage> {
    caller = connect((server.address() as AddressInfo).port, '127.0.0.1');
    caller.on('error', () => undefined);
    caller.write(`POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n${bytes}`);
    const [request] = (await once(server, 'request')) as [IncomingMessage];
    return request;
  }

  it('is read whole', async () => {
    const body = await bodyOf(await called('0123456789'), LIMIT_BYTES);
    expect(Buffer.from(body).toString()).toBe('0123456789');
  });

  it.each(['half', '0123456789'])(
    'is none where its caller goes away before it is read: %s',
    async (bytes) => {
      const request = await called(bytes);
      const isClosed = once(request, 'close').catch(() => undefined);
      caller.destroy();
      await isClosed;
      await expect(bodyOf(request, LIMIT_BYTES)).rejects.toMatchObject({ code: 'call_malformed' });
    },
  );

  it('is none where its caller goes away while it is read', async () => {
    const reading = bodyOf(await called('half'), LIMIT_BYTES);
    setTimeout(() => caller.destroy(), 20);
    await expect(reading).rejects.toMatchObject({ code: 'call_malformed' });
  });
});
