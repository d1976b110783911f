import { once } from 'node:events';
import { connect } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { onMessage } from './http-message';

interface Waiting {
  resolve(answer: { readonly status: number; readonly body: Buffer }): void;
  reject(error: Error): void;
}

/** One kept-alive mTLS connection for calls whose bytes were made before, one after the other. */
export class LeanClient {
  private waiting: Waiting | undefined;

  private constructor(private readonly socket: TLSSocket) {
    onMessage(socket, (head, body) => {
      // HTTP/1.1 201 Created
      this.settle((waiting) => {
        waiting.resolve({ status: Number(head.slice(9, 12)), body });
      });
    });
    const broken = (error?: Error) => {
      this.settle((waiting) => {
        waiting.reject(error ?? new Error('the connection was closed'));
      });
    };
    socket.on('error', broken);
    socket.on('close', () => {
      broken();
    });
  }

  static async open(origin: string, identity: ConnectionOptions): Promise<LeanClient> {
    const { hostname, port } = new URL(origin);
    const socket = connect({ ...identity, host: hostname, servername: hostname, port: Number(port) });
    await once(socket, 'secureConnect');
    socket.setNoDelay(true);
    return new LeanClient(socket);
  }

  send(request: Buffer): Promise<{ readonly status: number; readonly body: Buffer }> {
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
      this.socket.write(request);
    });
  }

  close(): void {
    this.socket.destroy();
  }

  private settle(how: (waiting: Waiting) => void): void {
    const { waiting } = this;
    this.waiting = undefined;
    if (waiting) how(waiting);
  }
}

/** The bytes of a call with a JSON body. */
export function postOf(path: string, headers: Readonly<Record<string, string>>, body: string): Buffer {
  const lines = Object.entries({
    host: 'localhost',
    ...headers,
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`POST ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`);
}
