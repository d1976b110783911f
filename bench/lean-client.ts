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

  private constructor(
    private readonly options: ConnectionOptions,
    private socket: TLSSocket,
  ) {
    this.listen();
  }

  static async open(origin: string, identity: ConnectionOptions): Promise<LeanClient> {
    const { hostname, port } = new URL(origin);
    const options = { ...identity, host: hostname, servername: hostname, port: Number(port) };
    return new LeanClient(options, await connected(options));
  }

  async send(request: Buffer): Promise<{ readonly status: number; readonly body: Buffer }> {
    // A server lets go of a connection that was idle, while mandates were signed for example.
    if (!this.socket.writable) {
      this.socket = await connected(this.options);
      this.listen();
    }
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
      this.socket.write(request);
    });
  }

  private listen(): void {
    const { socket } = this;
    onMessage(socket, (head, body) => {
      // HTTP/1.1 201 Created
      this.settle((waiting) => {
        waiting.resolve({ status: Number(head.slice(9, 12)), body });
      });
    });
    const broken = (error?: Error) => {
      if (socket !== this.socket) return;
      this.settle((waiting) => {
        waiting.reject(error ?? new Error('the connection was closed'));
      });
    };
    socket.on('error', broken);
    socket.on('close', () => {
      broken();
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

async function connected(options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connect(options);
  await once(socket, 'secureConnect');
  socket.setNoDelay(true);
  return socket;
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
