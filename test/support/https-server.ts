import { createServer } from 'node:https';
import type { Server } from 'node:https';
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDevelopmentCa, issueSvid } from '../../adapters/spiffe/development-ca';

export interface Received {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export type Handler = (received: Received, response: ServerResponse) => void;

/** A real HTTPS server on loopback, with a certificate of an authority of its own, that does what a test tells it. */
export class HttpsServer {
  readonly received: Received[] = [];
  handler: Handler = (_, response) => response.writeHead(404).end();

  private constructor(
    private readonly server: Server,
    readonly directory: string,
  ) {}

  /** Its own certificate and key, for a server of another protocol beside it. */
  get certFile(): string {
    return join(this.directory, 'cert.pem');
  }

  get keyFile(): string {
    return join(this.directory, 'key.pem');
  }

  static async start(): Promise<HttpsServer> {
    const directory = await mkdtemp(join(tmpdir(), 'atb-https-'));
    const ca = await createDevelopmentCa('outside.example', 1);
    const own = await issueSvid(ca, {
      spiffeId: 'spiffe://outside.example/server',
      ttlHours: 1,
      dnsNames: ['localhost'],
      ipAddresses: ['127.0.0.1'],
    });
    const server = createServer({ cert: own.chainPem, key: own.privateKeyPem });
    const https = new HttpsServer(server, directory);
    await https.file('ca.pem', ca.certificatePem);
    await https.file('cert.pem', own.chainPem);
    await https.file('key.pem', own.privateKeyPem);
    server.on('request', (request, response) => {
      let body = '';
      request.setEncoding('utf8').on('data', (text: string) => (body += text));
      request.on('end', () => {
        const received = {
          method: request.method ?? '',
          url: request.url ?? '',
          headers: request.headers,
          body,
        };
        https.received.push(received);
        https.handler(received, response);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return https;
  }

  get url(): string {
    return `https://localhost:${(this.server.address() as AddressInfo).port}`;
  }

  /** A file beside the certificate, for secrets and configuration. */
  async file(name: string, content: string): Promise<string> {
    const path = join(this.directory, name);
    await writeFile(path, content, { mode: 0o600 });
    return path;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
    await rm(this.directory, { recursive: true, force: true });
  }
}

export function answerJson(response: ServerResponse, document: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(document));
}
