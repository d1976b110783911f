import { request } from 'node:https';
import { clientSpan } from '../tracing/client-span';

export interface OutboundCall {
  readonly method: 'GET' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Authorities to trust, PEM; those of Node when absent. */
  readonly ca?: string | undefined;
  /** Over the whole exchange: a timeout between two bytes would let a slow answer go on for ever. */
  readonly timeoutMs: number;
  readonly maxBytes: number;
  readonly signal?: AbortSignal;
}

export interface OutboundAnswer {
  readonly status: number;
  readonly body: string;
  /** Of `Retry-After` in seconds (RFC 9110 §10.2.3), where the answer says so. */
  readonly retryAfterSeconds: number | undefined;
}

/**
 * One HTTPS exchange with a system that configuration names. A redirect is an answer like any other and is never
 * followed: what is sent, a credential with it, goes to the configured host or nowhere. Rejects where there is no whole
 * answer in time, or one that is too long.
 */
export function exchange(url: URL, call: OutboundCall): Promise<OutboundAnswer> {
  return clientSpan(
    { method: call.method, url, template: null },
    ({ status }) => status,
    () => exchanged(url, call),
  );
}

function exchanged(url: URL, call: OutboundCall): Promise<OutboundAnswer> {
  const { method, headers, body, ca, timeoutMs, maxBytes, signal } = call;
  return new Promise((resolve, reject) => {
    const finish = (act: () => void) => {
      clearTimeout(deadline);
      act();
    };
    const fail = (error: Error) => {
      finish(() => {
        reject(error);
      });
    };
    if (url.protocol !== 'https:') {
      reject(new Error(`${url.protocol} is not https:`));
      return;
    }
    const outgoing = request(
      url,
      {
        method,
        minVersion: 'TLSv1.2',
        ...(ca !== undefined && { ca }),
        ...(signal && { signal }),
        headers: {
          'user-agent': 'agent-trust-broker',
          ...headers,
          ...(body !== undefined && { 'content-length': String(Buffer.byteLength(body)) }),
        },
      },
      (incoming) => {
        const chunks: Buffer[] = [];
        let length = 0;
        incoming.on('data', (chunk: Buffer) => {
          length += chunk.length;
          if (length > maxBytes) incoming.destroy(new Error(`the answer is longer than ${maxBytes} bytes`));
          else chunks.push(chunk);
        });
        incoming.on('error', fail);
        incoming.on('end', () => {
          finish(() => {
            const text = Buffer.concat(chunks).toString('utf8');
            // An answer that was cut off ends too.
            if (incoming.complete)
              resolve({
                status: incoming.statusCode ?? 0,
                body: text,
                retryAfterSeconds: secondsOf(incoming.headers['retry-after']),
              });
            else reject(new Error('the answer was cut off'));
          });
        });
      },
    );
    const deadline = setTimeout(() => {
      outgoing.destroy(new Error(`no answer within ${timeoutMs} ms`));
    }, timeoutMs);
    outgoing.on('error', fail);
    outgoing.end(body);
  });
}

function secondsOf(retryAfter: string | undefined): number | undefined {
  return retryAfter !== undefined && /^\d{1,6}$/.test(retryAfter) ? Number(retryAfter) : undefined;
}
