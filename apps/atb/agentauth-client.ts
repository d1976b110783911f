import { Agent, request } from 'node:https';
import type { IncomingHttpHeaders } from 'node:http';
import type { PeerCertificate } from 'node:tls';
import { checkServerIdentity } from 'node:tls';
import { isJsonObject } from '../../domain/json';
import type { Json, JsonObject } from '../../domain/json';
import { SIGNED_REQUEST_MEDIA_TYPE } from '../../domain/signed-request';
import { parseStrictJson } from '../../domain/strict-json';
import { Refusal, Unreachable } from './refusal';

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: JsonObject;
}

export interface RawReply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface AgentAuthClientOptions {
  /** The base URL of AgentAuth, or of the broker; https only. */
  readonly url: string;
  /** The certificates to trust, PEM; those of Node when absent. */
  readonly ca?: readonly string[];
  /** Our X.509-SVID, PEM. */
  readonly identity?: { readonly cert: string; readonly key: string };
  /** The SPIFFE ID that the server must have; when absent its host name alone counts. */
  readonly serverId?: string;
  /** Told once an answer takes long that is not one to wait for; `seconds` are how long it may take. */
  readonly onSlow?: (url: string, seconds: number) => void;
}

interface Call {
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutSeconds?: number;
  readonly signal?: AbortSignal;
}

const TIMEOUT_SECONDS = 30;
const SLOW_MS = 2_000;
const LONGEST_ANSWER_BYTES = 4 * 1024 * 1024;

/** Talks to AgentAuth, or to the broker, over mTLS, on kept-alive connections. */
export class AgentAuthClient {
  private readonly agent: Agent;

  constructor(private readonly options: AgentAuthClientOptions) {
    if (!/^https:\/\//i.test(options.url)) throw new Unreachable(`${options.url} is not an https URL`);
    this.agent = new Agent({
      keepAlive: true,
      ...(options.ca && { ca: [...options.ca] }),
      ...options.identity,
      minVersion: 'TLSv1.2',
      checkServerIdentity: (host, certificate) => serverFault(host, certificate, options.serverId),
    });
  }

  get(path: string, call: Pick<Call, 'signal' | 'timeoutSeconds'> = {}): Promise<Reply> {
    return this.send('GET', path, call);
  }

  post(path: string, body?: Json, headers: Readonly<Record<string, string>> = {}): Promise<Reply> {
    if (body === undefined) return this.send('POST', path, { headers });
    const typed = { 'content-type': 'application/json', ...headers };
    return this.send('POST', path, { body: JSON.stringify(body), headers: typed });
  }

  /** Sends a call that we signed: its body is in the statement, a compact JWS. */
  postSigned(
    path: string,
    statement: string,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Reply> {
    const typed = { 'content-type': SIGNED_REQUEST_MEDIA_TYPE, ...headers };
    return this.send('POST', path, { body: statement, headers: typed });
  }

  /** For RFC 7009 and RFC 7662. */
  form(path: string, fields: Readonly<Record<string, string>>): Promise<Reply> {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    return this.send('POST', path, { body: new URLSearchParams(fields).toString(), headers });
  }

  /** Whatever is answered, as it came. Throws `Unreachable` where there was no answer that can be trusted. */
  call(method: string, path: string, call: Pick<Call, 'body' | 'headers'> = {}): Promise<RawReply> {
    return this.exchange(method, path, call);
  }

  close(): void {
    this.agent.destroy();
  }

  /** Throws `Refusal` for a 4xx or 5xx answer, `Unreachable` where there was none that can be trusted. */
  private async send(method: string, path: string, call: Call): Promise<Reply> {
    const { status, headers, text } = await this.exchange(method, path, call);
    const body = parseBody(text);
    if (status >= 400) throw refusal(status, headers, body ?? {});
    if (status >= 200 && status < 300 && body) return { status, headers, body };
    throw new Unreachable(
      `${this.options.url} answered with ${status} and something that is not AgentAuth's`,
    );
  }

  private exchange(
    method: string,
    path: string,
    { body, headers, timeoutSeconds, signal }: Call,
  ): Promise<RawReply> {
    const { url, onSlow } = this.options;
    const seconds = timeoutSeconds ?? TIMEOUT_SECONDS;
    // Whoever says how long it may take waits for people, and has said so.
    const slow = timeoutSeconds === undefined ? setTimeout(() => onSlow?.(url, seconds), SLOW_MS) : undefined;
    return new Promise<RawReply>((resolve, reject) => {
      const fail = (error: Error) => {
        clearTimeout(deadline);
        reject(signal?.aborted === true ? error : unreachable(url, error));
      };
      const outgoing = request(
        new URL(path, url),
        {
          method,
          agent: this.agent,
          ...(signal && { signal }),
          headers: {
            accept: 'application/json, application/problem+json',
            ...headers,
            ...(body !== undefined && { 'content-length': Buffer.byteLength(body) }),
          },
        },
        (incoming) => {
          const chunks: Buffer[] = [];
          let length = 0;
          incoming.on('data', (chunk: Buffer) => {
            length += chunk.length;
            if (length > LONGEST_ANSWER_BYTES) incoming.destroy(new Error('the answer is too long'));
            else chunks.push(chunk);
          });
          incoming.on('error', fail);
          incoming.on('end', () => {
            clearTimeout(deadline);
            const text = Buffer.concat(chunks).toString('utf8');
            resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, text });
          });
        },
      );
      // Over the whole exchange: a timeout between two bytes would let a slow answer go on for ever.
      const deadline = setTimeout(() => {
        outgoing.destroy(new Error(`no answer within ${seconds} s`));
      }, seconds * 1000);
      outgoing.on('error', fail);
      outgoing.end(body);
    }).finally(() => {
      clearTimeout(slow);
    });
  }
}

/**
 * What is wrong with a server's certificate, whose chain was verified before. It must hold the one SPIFFE ID that is
 * expected. Where it names hosts too, the host must be among them; an SVID that names none is known by its ID alone.
 */
export function serverFault(
  host: string,
  certificate: Pick<PeerCertificate, 'subjectaltname' | 'subject'>,
  serverId?: string,
): Error | undefined {
  if (serverId === undefined) return checkServerIdentity(host, certificate as PeerCertificate);
  const names = certificate.subjectaltname?.split(', ') ?? [];
  const ids = names.filter((name) => name.startsWith('URI:'));
  if (ids.length !== 1 || ids[0] !== `URI:${serverId}`) {
    return new Error(`the server's certificate is not that of ${serverId}`);
  }
  return names.length > 1 ? checkServerIdentity(host, certificate as PeerCertificate) : undefined;
}

function parseBody(text: string): JsonObject | undefined {
  if (text === '') return {};
  try {
    const body = parseStrictJson(text, { maxDepth: 64 });
    return isJsonObject(body) ? body : undefined;
  } catch {
    return undefined;
  }
}

/** A problem document (RFC 9457) as what is thrown of it. */
export function refusal(status: number, headers: IncomingHttpHeaders, problem: JsonObject): Refusal {
  const code = typeof problem.code === 'string' ? problem.code : `http_${status}`;
  const { detail, title } = problem;
  const message = [detail, title].find((text) => typeof text === 'string');
  const retryAfter = Number(headers['retry-after'] ?? Number.NaN);
  return new Refusal(
    status,
    code,
    typeof message === 'string' ? message : `HTTP status ${status}`,
    { ...problem, code, status },
    Number.isFinite(retryAfter) ? retryAfter : undefined,
  );
}

function unreachable(url: string, cause: Error): Unreachable {
  const { code } = cause as NodeJS.ErrnoException;
  const why = code === 'ECONNREFUSED' ? 'nothing listens there' : cause.message || code || 'no connection';
  return new Unreachable(`${url} cannot be used: ${why}`, { cause });
}
