import { AtbError } from '../../domain/error';
import type { LogStore } from '../../domain/ports';

const TIMEOUT_MS = 10_000;

/** A log that others publish over HTTP. Nothing is believed of the way it comes: what is read proves itself. */
export class LogUrl implements Pick<LogStore, 'read'> {
  private readonly base: string;

  constructor(url: string) {
    this.base = url.endsWith('/') ? url : `${url}/`;
  }

  async read(path: string, mostBytes: number): Promise<Uint8Array | null> {
    const url = `${this.base}${path}`;
    try {
      const answer = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) });
      if (answer.status === 404 || answer.status === 410) return null;
      if (!answer.ok || !answer.body) throw new Error(`status ${answer.status}`);
      const chunks: Uint8Array[] = [];
      let bytes = 0;
      for await (const chunk of answer.body as unknown as AsyncIterable<Uint8Array>) {
        bytes += chunk.length;
        if (bytes > mostBytes)
          throw new AtbError('audit_log_malformed', `${path} is longer than ${mostBytes} bytes`);
        chunks.push(chunk);
      }
      return Buffer.concat(chunks);
    } catch (cause) {
      if (cause instanceof AtbError) throw cause;
      throw new AtbError('audit_unavailable', `${url} cannot be read`, { cause });
    }
  }
}
