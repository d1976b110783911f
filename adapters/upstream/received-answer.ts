import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';

/** Nothing of the call was sent: no connection came about, or none was free before the call was given up. */
export class NeverConnected extends Error {
  override readonly name = 'NeverConnected';
}

/** What a system answered; its body as it comes. */
export interface UpstreamAnswer {
  readonly statusCode: number;
  readonly headers: IncomingHttpHeaders;
  /** Read once. Throws what broke it off. */
  readonly body: AsyncIterable<Buffer>;
  /** Reads no more of it, and lets its connection go. Harmless at its end. */
  discard(): void;
}

/** What waits to be read, in bytes, before the system is asked to wait. */
const MOST_WAITING_BYTES = 64 * 1024;

/** One answer on its way in: settles with its head, and hands on its body at the reader's pace. */
export class ReceivedAnswer implements UpstreamAnswer, Dispatcher.DispatchHandler, AsyncIterator<Buffer> {
  statusCode = 0;
  headers: IncomingHttpHeaders = {};
  readonly body: AsyncIterable<Buffer> = { [Symbol.asyncIterator]: () => this };
  private controller: Dispatcher.DispatchController | undefined;
  private readonly chunks: Buffer[] = [];
  private waitingBytes = 0;
  private isWhole = false;
  private failure: Error | undefined;
  private reader:
    { resolve(result: IteratorResult<Buffer, undefined>): void; reject(error: Error): void } | undefined;

  /** `settle` and `fail` are told of the head, the one or the other, once; NeverConnected where nothing was sent. */
  constructor(
    private readonly signal: AbortSignal,
    private readonly settle: (answer: UpstreamAnswer) => void,
    private readonly fail: (error: Error) => void,
  ) {
    signal.addEventListener('abort', this.aborted);
    if (signal.aborted) this.aborted();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller;
    // Nobody waits for it any more: it is not sent.
    if (this.failure) controller.abort(this.failure);
  }

  onResponseStart(_: Dispatcher.DispatchController, statusCode: number, headers: IncomingHttpHeaders): void {
    // 1xx: the answer is still to come (RFC 9110 §15.2).
    if (statusCode < 200) return;
    this.statusCode = statusCode;
    this.headers = headers;
    // They end with their head, whatever Content-Length says (RFC 9110 §15.3.5, §15.4.5).
    if (statusCode === 204 || statusCode === 304) this.onResponseEnd();
    this.settle(this);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const { reader } = this;
    this.reader = undefined;
    if (reader) {
      reader.resolve({ done: false, value: chunk });
      return;
    }
    this.chunks.push(chunk);
    this.waitingBytes += chunk.length;
    if (this.waitingBytes > MOST_WAITING_BYTES) controller.pause();
  }

  onResponseEnd(): void {
    this.isWhole = true;
    this.signal.removeEventListener('abort', this.aborted);
    this.reader?.resolve({ done: true, value: undefined });
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.broken(error);
  }

  next(): Promise<IteratorResult<Buffer, undefined>> {
    const value = this.chunks.shift();
    if (value) {
      this.waitingBytes -= value.length;
      if (this.controller?.paused === true && this.waitingBytes <= MOST_WAITING_BYTES)
        this.controller.resume();
      return Promise.resolve({ done: false, value });
    }
    if (this.failure) return Promise.reject(this.failure);
    if (this.isWhole) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => {
      this.reader = { resolve, reject };
    });
  }

  return(): Promise<IteratorResult<Buffer, undefined>> {
    this.discard();
    return Promise.resolve({ done: true, value: undefined });
  }

  discard(): void {
    if (this.isWhole) return;
    const reason = new Error('nobody reads the answer');
    this.broken(reason);
    this.controller?.abort(reason);
  }

  private readonly aborted = () => {
    const reason: unknown = this.signal.reason;
    const error = reason instanceof Error ? reason : new Error('the call was given up', { cause: reason });
    this.broken(error);
    this.controller?.abort(error);
  };

  private broken(error: Error): void {
    this.signal.removeEventListener('abort', this.aborted);
    if (this.isWhole) return;
    this.failure ??= this.controller || error instanceof NeverConnected ? error : unsent(error);
    this.fail(this.failure);
    this.reader?.reject(this.failure);
    this.reader = undefined;
  }
}

function unsent(cause: Error): NeverConnected {
  return new NeverConnected('the call was not sent', { cause });
}
