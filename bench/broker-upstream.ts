import { readFileSync } from 'node:fs';
import { createServer } from 'node:tls';
import { onMessage } from './http-message';

/**
 * A system that answers at once, over mTLS: `node broker-upstream.js PORT CERT KEY CA`. `GET /cpu` tells how many
 * milliseconds it has computed.
 */
const [port, ...files] = process.argv.slice(2);
const [cert, key, ca] = files.map((file) => readFileSync(file, 'utf8'));
const PAID = answer(201, 'Created', '{"payment_id":"p-1","amount":100,"state":"paid"}');
const server = createServer({ cert, key, ca, requestCert: true, rejectUnauthorized: true }, (socket) => {
  socket.setNoDelay(true);
  socket.on('error', () => {
    socket.destroy();
  });
  onMessage(socket, (head) => {
    if (head.startsWith('POST ')) {
      socket.write(PAID);
      return;
    }
    const { user, system } = process.cpuUsage();
    socket.write(answer(200, 'OK', String((user + system) / 1000)));
  });
});
server.listen(Number(port), '127.0.0.1');

function answer(status: number, reason: string, body: string): Buffer {
  return Buffer.from(
    `HTTP/1.1 ${status} ${reason}\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
