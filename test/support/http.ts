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

/** A legal ground that is complete. */
export const LEG = {
  jurisdiction: 'EU',
  accountable_party: { type: 'employee', id: 'emp-200' },
  basis: 'CONTRACT',
  ref: 'MSA-12345',
} as const;

const PARAMS: Readonly<Record<string, object>> = { 'sap.payment.execute': { amount: 1250 } };

/** The body with the legal ground completed, and the parameters that its action cannot do without where it has none. */
export function wellGrounded(body: unknown): unknown {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return body;
  const { act, con, leg } = body as { act?: unknown; con?: unknown; leg?: unknown };
  const needed = typeof act === 'string' && Object.hasOwn(PARAMS, act) ? PARAMS[act] : undefined;
  return {
    ...body,
    ...(con === undefined && needed && { con: { params: needed } }),
    ...((leg === undefined || (typeof leg === 'object' && !Array.isArray(leg))) && {
      leg: { ...LEG, ...leg },
    }),
  };
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
    return new this(
      url,
      readFileSync(caFile, 'utf8'),
      identity && { cert: readFileSync(identity.cert, 'utf8'), key: readFileSync(identity.key, 'utf8') },
    );
  }

  get(path: string): Promise<Answer> {
    return this.send('GET', path);
  }

  /** A body of /issue or /plan gets what every request needs, where the test is not about it: see `wellGrounded`. */
  post(path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    if (body === undefined) return this.send('POST', path, undefined, headers);
    const whole = path === '/issue' || path === '/plan' ? wellGrounded(body) : body;
    return this.postExactly(path, whole, headers);
  }

  /** Sends this body, with nothing added. */
  postExactly(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
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
