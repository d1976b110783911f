import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';

/** A system that answers at once, over mTLS: `node broker-upstream.js CERT KEY CA`; says its port. */
const [cert = '', key = '', ca = ''] = process.argv.slice(2).map((file) => readFileSync(file, 'utf8'));
const server = createServer(
  { cert, key, ca, requestCert: true, rejectUnauthorized: true, keepAliveTimeout: 72_000 },
  (request, response) => {
    request.resume();
    request.on('end', () => {
      response.writeHead(201, { 'content-type': 'application/json' });
      response.end('{"payment_id":"p-1","amount":100,"state":"paid"}');
    });
  },
);
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`);
});
