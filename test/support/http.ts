import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import type { IncomingHttpHeaders } from 'node:http';

export interface TlsIdentity {
  readonly cert: string;
  readonly key: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** The JSON body, or an empty object where there is none. */
  readonly body: Record<string, unknown>;
}

/** A caller on one kept-alive mTLS connection pool; without an identity it shows no certificate. */
export class HttpCaller {
  private readonly agent: Agent;

  constructor(
    private readonly url: string,
    trustBundle: string,
    identity?: TlsIdentity,
  ) {
    this.agent = new Agent({ keepAlive: true, ca: trustBundle, ...identity });
  }

  /** The identity's files as dev.json names them. */
  static fromFiles(url: string, caFile: string, identity?: { readonly cert: string; readonly key: string }) {
    return new HttpCaller(
      url,
      readFileSync(caFile, 'utf8'),
      identity && { cert: readFileSync(identity.cert, 'utf8'), key: readFileSync(identity.key, 'utf8') },
    );
  }

  get(path: string): Promise<Answer> {
    return this.send('GET', path);
  }

  post(path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    if (body === undefined) return this.send('POST', path, undefined, headers);
    return this.send('POST', path, JSON.stringify(body), { 'content-type': 'application/json', ...headers });
  }

  form(path: string, fields: Record<string, string>): Promise<Answer> {
    return this.send('POST', path, new URLSearchParams(fields).toString(), {
      'content-type': 'application/x-www-form-urlencoded',
    });
  }

  /** Sends exactly these bytes. */
  send(
    method: string,
    path: string,
    body?: string | Buffer,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const outgoing = request(
        new URL(path, this.url),
        {
          method,
          agent: this.agent,
          headers: {
            ...headers,
            ...(body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }),
          },
          timeout: 45_000,
        },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
          incoming.on('error', reject);
          incoming.on('end', () => {
            const text = Buffer.concat(chunks).toString('utf8');
            resolve({
              status: incoming.statusCode ?? 0,
              headers: incoming.headers,
              body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>),
            });
          });
        },
      );
      outgoing.on('error', reject);
      outgoing.on('timeout', () => outgoing.destroy(new Error('no answer within 45 s')));
      outgoing.end(body);
    });
  }

  close(): void {
    this.agent.destroy();
  }
}
