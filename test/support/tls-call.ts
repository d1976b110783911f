import { Agent, request } from 'node:https';
import type { TLSSocket } from 'node:tls';
import type { TlsIdentity } from './http';

/** What came of a call, and of the connection that it went over. */
export interface Called {
  readonly status: number;
  /** Of the problem that was answered; undefined where there was none. */
  readonly code: string | undefined;
  /** Of the certificate that the server showed on this connection. */
  readonly serial: string | undefined;
  /** The client's port: the same for calls over one connection. */
  readonly connection: number | undefined;
  /** Whether the server said that it ends the connection. */
  readonly closes: boolean;
}

/** A client with one connection at a time, which it keeps for as long as the server does. */
export class OneConnection {
  private readonly agent: Agent;
  /** Asked for again on a kept connection, Node has none. */
  private readonly serials = new WeakMap<object, string | undefined>();

  constructor(
    private readonly url: string,
    ca: string,
    identity: TlsIdentity,
  ) {
    this.agent = new Agent({ keepAlive: true, maxSockets: 1, maxCachedSessions: 0, ca, ...identity });
  }

  get(path: string, headers: Record<string, string> = {}): Promise<Called> {
    return new Promise((resolve, reject) => {
      const sent = request(new URL(path, this.url), { agent: this.agent, headers }, (response) => {
        const socket = response.socket as TLSSocket;
        if (!this.serials.has(socket)) {
          this.serials.set(socket, socket.getPeerX509Certificate()?.serialNumber);
        }
        const serial = this.serials.get(socket);
        const connection = socket.localPort;
        let body = '';
        response.setEncoding('utf8').on('data', (text: string) => (body += text));
        response.on('end', () => {
          const closes = response.headers.connection === 'close';
          const { code } = (body === '' ? {} : JSON.parse(body)) as { code?: string };
          resolve({ status: response.statusCode ?? 0, code, serial, connection, closes });
        });
        response.on('error', reject);
      });
      sent.on('error', reject);
      sent.end();
    });
  }

  close(): void {
    this.agent.destroy();
  }
}
