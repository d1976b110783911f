import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { AtbError } from '../../domain/error';

/** Where an answer of a system behind goes: over HTTP as it comes, or into the answer of another protocol. */
export interface AnswerSink {
  /** Whether something of it went out already, and cannot be taken back. */
  readonly hasBegun: boolean;
  begin(status: number, headers: Readonly<Record<string, string | string[]>>): void;
  /** Resolves when there is room for more. Throws where nobody takes it any more, or what the signal ends it for. */
  write(chunk: Uint8Array, signal: AbortSignal): Promise<void>;
  end(): void;
  /** What went out stays incomplete, and whoever takes it sees that. */
  breakOff(): void;
  /** Calls back when whoever takes it goes away before the end; answers how to stop listening. */
  onGone(heard: () => void): () => void;
}

/** An answer over HTTP, as it comes. */
export class StreamedAnswer implements AnswerSink {
  constructor(private readonly response: ServerResponse) {}

  get hasBegun(): boolean {
    return this.response.headersSent;
  }

  begin(status: number, headers: Readonly<Record<string, string | string[]>>): void {
    const { response } = this;
    // What is there already goes out together: most answers are whole by then.
    response.cork();
    setImmediate(() => {
      response.uncork();
    });
    response.writeHead(status, { ...headers });
  }

  async write(chunk: Uint8Array, signal: AbortSignal): Promise<void> {
    const { response } = this;
    if (response.write(chunk)) return;
    // What is closed closes no second time: nobody would hear of it.
    if (response.destroyed) throw new AtbError('upstream_failed', 'the agent went away');
    await once(response, 'drain', { signal });
  }

  end(): void {
    this.response.end();
  }

  breakOff(): void {
    this.response.destroy();
  }

  onGone(heard: () => void): () => void {
    const { response } = this;
    const closed = () => {
      if (!response.writableFinished) heard();
    };
    response.once('close', closed);
    return () => response.off('close', closed);
  }
}

/** A whole answer, kept for another protocol's; not more than so many bytes. */
export class CollectedAnswer implements AnswerSink {
  /** Nothing goes out before it is whole. */
  readonly hasBegun = false;
  status = 0;
  headers: Readonly<Record<string, string | string[]>> = {};
  private readonly chunks: Uint8Array[] = [];
  private bytes = 0;

  constructor(private readonly mostBytes: number) {}

  get body(): Buffer {
    return Buffer.concat(this.chunks);
  }

  begin(status: number, headers: Readonly<Record<string, string | string[]>>): void {
    this.status = status;
    this.headers = headers;
  }

  write(chunk: Uint8Array): Promise<void> {
    this.bytes += chunk.length;
    if (this.bytes > this.mostBytes) {
      return Promise.reject(
        new AtbError('upstream_response_too_large', `an answer here has at most ${this.mostBytes} bytes`),
      );
    }
    this.chunks.push(chunk);
    return Promise.resolve();
  }

  end(): void {
    // It is whole.
  }

  breakOff(): void {
    this.chunks.length = 0;
  }

  onGone(): () => void {
    return () => undefined;
  }
}
