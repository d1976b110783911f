import { createServer, request } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Stands between us and a real server, and does to what passes what networks and overloaded servers do. */
export class FaultProxy {
  /** How long each answer is kept back. */
  delayMs = 0;
  /** Of so many requests one is answered with 503 and is not passed on; 0 for none. */
  refusesOneOf = 0;
  /** Of so many requests one is passed on, and its answer is lost; 0 for none. */
  losesOneOf = 0;
  /** So many answers to come end in the middle of what they carry. */
  breakingOff = 0;
  /** Takes every request and answers none. */
  hangs = false;
  passed = 0;
  private count = 0;

  private constructor(private readonly server: Server) {}

  static async to(port: number): Promise<FaultProxy> {
    const server = createServer();
    const proxy = new FaultProxy(server);
    server.on('request', (incoming, answer) => {
      incoming.on('error', () => undefined);
      if (proxy.hangs) return;
      proxy.count += 1;
      const isNth = (n: number) => n > 0 && proxy.count % n === 0;
      if (isNth(proxy.refusesOneOf)) {
        incoming.resume();
        answer.writeHead(503, { connection: 'close' }).end('<Error><Code>SlowDown</Code></Error>');
        return;
      }
      const loses = isNth(proxy.losesOneOf);
      const { method, headers, url } = incoming;
      // The host as it was signed.
      const outgoing = request({ host: '127.0.0.1', port, method, path: url, headers, agent: false });
      outgoing.on('error', () => answer.destroy());
      outgoing.on('response', (given) => {
        void sleep(proxy.delayMs).then(() => {
          proxy.passed += 1;
          if (loses) {
            given.resume();
            answer.destroy();
            return;
          }
          answer.writeHead(given.statusCode ?? 502, given.headers);
          if (method === 'GET' && proxy.breakingOff > 0) {
            proxy.breakingOff -= 1;
            given.once('data', (chunk: Buffer) => {
              answer.write(chunk.subarray(0, chunk.length >> 1), () => answer.destroy());
            });
            return;
          }
          given.pipe(answer);
        });
      });
      incoming.pipe(outgoing);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
