import type { Socket } from 'node:net';

const HEAD_END = Buffer.from('\r\n\r\n');
const CHUNKED = /\r\ntransfer-encoding:/i;
const LENGTH = /\r\ncontent-length: *(\d+)/i;

/**
 * Tells each HTTP/1.1 message that comes in on a connection when it is whole. Reads of its head what it must, the
 * Content-Length, so that measuring takes little of the machine that is measured. Throws where a body has no length
 * that was announced.
 */
export function onMessage(socket: Socket, heard: (head: string, body: Buffer) => void): void {
  let pending: Buffer = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    for (let end = pending.indexOf(HEAD_END); end >= 0; end = pending.indexOf(HEAD_END)) {
      const head = pending.toString('latin1', 0, end);
      if (CHUNKED.test(head)) throw new Error(`no Content-Length: ${head}`);
      const length = LENGTH.exec(head)?.[1] ?? 0;
      const from = end + HEAD_END.length;
      const to = from + Number(length);
      if (pending.length < to) return;
      const body = pending.subarray(from, to);
      pending = pending.subarray(to);
      heard(head, body);
    }
  });
}
