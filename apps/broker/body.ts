import type { IncomingMessage } from 'node:http';
import { AtbError } from '../../domain/error';

/** The whole body. Throws `body_too_large`, `call_malformed`. */
export function bodyOf(request: IncomingMessage, limitBytes: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const tooLargeBody = () =>
      new AtbError('body_too_large', `the body is larger than what is taken here: ${limitBytes} bytes`);
    if (Number(request.headers['content-length'] ?? 0) > limitBytes) {
      reject(tooLargeBody());
      return;
    }
    const chunks: Buffer[] = [];
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > limitBytes) {
        request.pause();
        reject(tooLargeBody());
      } else chunks.push(chunk);
    });
    request.once('end', () => {
      resolve(Buffer.concat(chunks));
    });
    const broken = () => {
      // Every request closes in the end.
      if (request.readableEnded) return;
      reject(new AtbError('call_malformed', 'the body ended before it was read whole'));
    };
    // What is closed already closes no second time.
    if (request.destroyed) broken();
    request.once('error', broken);
    request.once('close', broken);
  });
}
