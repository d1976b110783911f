import { Agent, request } from 'node:https';
import type { IncomingHttpHeaders } from 'node:http';
import { AtbError, isErrorCode } from '../../../domain/error';

const TIMEOUT_MS = 45_000;

export interface ClientOptions {
  readonly url: string;
  /** PEM: the caller's certificate chain and key, and the server's trust bundle. */
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

export interface JsonAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Record<string, unknown>;
}

/**
 * A caller of AgentAuth or the broker over mTLS, on kept-alive connections. A problem (RFC 9457) is thrown as the AtbError that it
 * was. For the self-check and the benchmark, which run beside what they call.
 */
export class JsonClient {
  private readonly agent: Agent;

  constructor(private readonly options: ClientOptions) {
    const { cert, key, ca } = options;
    this.agent = new Agent({ keepAlive: true, cert, key, ca, minVersion: 'TLSv1.2' });
  }

  get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<JsonAnswer> {
    return this.send('GET', path, undefined, headers);
  }

  post(path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}): Promise<JsonAnswer> {
    if (body === undefined) return this.send('POST', path, undefined, headers);
    return this.send('POST', path, JSON.stringify(body), { 'content-type': 'application/json', ...headers });
  }

  form(path: string, fields: Readonly<Record<string, string>>): Promise<JsonAnswer> {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    return this.send('POST', path, new URLSearchParams(fields).toString(), headers);
  }

  close(): void {
    this.agent.destroy();
  }

  private send(
    method: string,
    path: string,
    body?: string,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<JsonAnswer> {
    return new Promise((resolve, reject) => {
      const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) };
      const outgoing = request(
        new URL(path, this.options.url),
        { method, agent: this.agent, headers: { ...headers, ...length }, timeout: TIMEOUT_MS },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
          incoming.on('error', (cause) => {
            reject(unreachable(cause));
          });
          incoming.on('end', () => {
            try {
              resolve(
                answerOf(incoming.statusCode ?? 0, incoming.headers, Buffer.concat(chunks).toString('utf8')),
              );
            } catch (error) {
              reject(error instanceof Error ? error : new Error(String(error)));
            }
          });
        },
      );
      outgoing.on('error', (cause) => {
        reject(unreachable(cause));
      });
      outgoing.on('timeout', () => outgoing.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)));
      outgoing.end(body);
    });
  }
}

function answerOf(status: number, headers: IncomingHttpHeaders, text: string): JsonAnswer {
  const body = (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>;
  if (status < 400) return { status, headers, body };
  const code = typeof body.code === 'string' && isErrorCode(body.code) ? body.code : 'internal';
  throw new AtbError(code, typeof body.detail === 'string' ? body.detail : `the answer was ${status}`, {
    reasons: Array.isArray(body.reasons) ? body.reasons.map(String) : [],
    errors: Array.isArray(body.errors) ? (body.errors as never) : [],
    ...(typeof body.request_id === 'string' && { requestId: body.request_id }),
  });
}

function unreachable(cause: Error): AtbError {
  return new AtbError('internal', `${cause.message}, so that nothing is known of the call`, { cause });
}
