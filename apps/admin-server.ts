import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';

export interface AdminServer {
  readonly url: string;
  close(): Promise<void>;
}

/** A process's health, readiness and metrics, on a port that agents do not reach. */
export async function startAdminServer(
  host: string,
  port: number,
  isReady: () => Promise<boolean>,
  metrics: Registry,
): Promise<AdminServer> {
  const server = createServer({ requestTimeout: 10_000, headersTimeout: 5_000 }, (request, response) => {
    const answer = (status: number, body: string, contentType = 'text/plain; charset=utf-8') => {
      response.writeHead(status, { 'content-type': contentType });
      response.end(body);
    };
    if (request.method !== 'GET') {
      answer(405, 'method not allowed\n');
      return;
    }
    switch (request.url ?? '') {
      case '/healthz':
        answer(200, 'ok\n');
        return;
      case '/readyz':
        isReady().then(
          (ready) => {
            answer(ready ? 200 : 503, ready ? 'ready\n' : 'not ready: what it needs is out of reach\n');
          },
          () => {
            answer(503, 'not ready\n');
          },
        );
        return;
      case '/metrics':
        metrics.metrics().then(
          (text) => {
            answer(200, text, metrics.contentType);
          },
          () => {
            answer(500, 'the metrics cannot be read\n');
          },
        );
        return;
      default:
        answer(404, 'not found\n');
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return {
    url: `http://${host}:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}
