import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { temporal } from '@temporalio/proto';
import type { CodecKeys } from './codec-keys';
import { SealedCodec } from './sealed-codec';

const BODY_LIMIT_BYTES = 8 * 1024 * 1024;
const { Payload: PayloadMessage } = temporal.api.common.v1;

export interface CodecServerOptions {
  readonly keys: CodecKeys;
  readonly host: string;
  readonly port: number;
  /** The Temporal UI's exact origin (CORS), for example `http://127.0.0.1:8233`. */
  readonly uiOrigin: string;
  /** Says who asks, from the `Authorization` header or the path's first segment; null means nobody we know. */
  readonly authenticate: (credential: string) => Promise<string | null>;
  /** Told of every answered request: who read how many payloads. */
  readonly onAccess: (access: {
    readonly who: string;
    readonly operation: string;
    readonly payloads: number;
  }) => void;
}

export interface CodecServer {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Temporal's remote codec protocol: `POST …/decode` and `…/encode` with `{payloads: [{metadata, data}]}` in base64.
 * The credential is the bearer token, or the path's first segment (`/<token>/decode`), because the Temporal UI and
 * command line can be given a URL but not always a header. To seal for one workflow (the command line's
 * `--codec-endpoint`), the next segment names it, percent-encoded: `/<token>/poa-request%2F<id>/encode`.
 */
export async function startCodecServer(options: CodecServerOptions): Promise<CodecServer> {
  const codec = new SealedCodec(options.keys, 'throw');
  const server = createServer({ requestTimeout: 10_000, headersTimeout: 5_000 }, (request, response) => {
    answer(options, codec, request, response).catch(() => {
      if (!response.headersSent) response.writeHead(500);
      response.end();
    });
  });
  await listen(server, options);
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${options.host}:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

/** Compares a credential with the one token of a development stack, in constant time. */
export function tokenAuthenticator(token: string, who: string): CodecServerOptions['authenticate'] {
  const expected = digest(token);
  return (credential) => Promise.resolve(timingSafeEqual(digest(credential), expected) ? who : null);
}

async function answer(
  options: CodecServerOptions,
  codec: SealedCodec,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.headers.origin === options.uiOrigin) {
    response.setHeader('access-control-allow-origin', options.uiOrigin);
    response.setHeader('access-control-allow-headers', 'content-type,x-namespace,authorization');
    response.setHeader('access-control-allow-methods', 'POST,OPTIONS');
    response.setHeader('vary', 'origin');
  }
  if (request.method === 'OPTIONS') {
    end(response, 204);
    return;
  }
  const segments = (request.url ?? '').split('?')[0]?.split('/').slice(1) ?? [];
  const operation = segments.pop();
  if (request.method !== 'POST' || (operation !== 'decode' && operation !== 'encode')) {
    end(response, 404);
    return;
  }
  const bearer = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
  const who = await options.authenticate(bearer ?? segments[0] ?? '');
  if (who === null) {
    end(response, 401);
    return;
  }
  const body = await readBody(request);
  if (body === undefined) {
    end(response, 413);
    return;
  }

  let payloads: readonly unknown[];
  try {
    payloads = (JSON.parse(body) as { payloads?: readonly unknown[] }).payloads ?? [];
  } catch {
    end(response, 400);
    return;
  }
  const workflowId = decodeURIComponent(segments.at(-1) ?? '');
  if (operation === 'encode' && !workflowId.includes('/')) {
    end(response, 400);
    return;
  }
  try {
    const converted = payloads.map((json) => {
      const payload = PayloadMessage.fromObject(json as Record<string, unknown>);
      return PayloadMessage.toObject(
        PayloadMessage.create(
          operation === 'encode' ? codec.seal(payload, workflowId) : codec.open(payload, undefined),
        ),
        { bytes: String },
      );
    });
    options.onAccess({ who, operation, payloads: converted.length });
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ payloads: converted }));
  } catch {
    // What is not sealed with our keys is not opened, and why is nobody's business.
    end(response, 400);
  }
}

async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > BODY_LIMIT_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function end(response: ServerResponse, status: number): void {
  response.writeHead(status);
  response.end();
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function listen(server: Server, { host, port }: CodecServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
