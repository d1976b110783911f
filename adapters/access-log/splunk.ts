import { readFile } from 'node:fs/promises';
import { exchange } from '../http/outbound';
import { NotNow, TryLess } from './exporter';
import type { Delivery, Destination, LineRecord } from './exporter';
import type { HttpsStore } from './https-store';

const TIMEOUT_MS = 15_000;
const MOST_ANSWER_BYTES = 65_536;
const TOO_LARGE = 413;
const BAD_REQUEST = 400;

/**
 * Splunk's HTTP Event Collector: `POST /services/collector/event`, events one after another in the body. It answers 503
 * where its queues are full; 400 with `invalid-event-number` where one event is wrong.
 */
export class SplunkDestination implements Destination {
  constructor(
    readonly name: string,
    private readonly store: HttpsStore,
    private readonly index: string | undefined,
  ) {}

  async send(lines: readonly LineRecord[]): Promise<Delivery> {
    const { url, secretFile, caFile } = this.store;
    const { status, body, retryAfterSeconds } = await exchange(new URL('/services/collector/event', url), {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        authorization: `Splunk ${(await readFile(secretFile, 'utf8')).trim()}`,
      },
      body: lines.map((line) => this.eventOf(line)).join('\n'),
      ca: caFile === undefined ? undefined : await readFile(caFile, 'utf8'),
      timeoutMs: TIMEOUT_MS,
      maxBytes: MOST_ANSWER_BYTES,
    });
    if (status === 200) return { again: [], refused: [] };
    if (status === TOO_LARGE) throw new TryLess('the collector finds it too large');
    if (status !== BAD_REQUEST) throw new NotNow(`the collector answered ${status}`, retryAfterSeconds);
    const wrong = wrongEventIn(body);
    if (wrong === undefined || wrong >= lines.length) throw new TryLess('the collector finds it malformed');
    return {
      again: lines.filter((_, at) => at !== wrong),
      refused: ['the collector finds it malformed'],
      retryAfterSeconds: 0,
    };
  }

  private eventOf(event: LineRecord): string {
    return JSON.stringify({
      time: Date.parse(event.time) / 1000,
      source: `atb:${event.process}`,
      sourcetype: 'atb:access',
      ...(this.index !== undefined && { index: this.index }),
      event,
    });
  }
}

function wrongEventIn(body: string): number | undefined {
  try {
    const { 'invalid-event-number': wrong } = JSON.parse(body) as { 'invalid-event-number'?: unknown };
    return typeof wrong === 'number' && Number.isSafeInteger(wrong) && wrong >= 0 ? wrong : undefined;
  } catch {
    // Whatever it says, it took nothing.
    return undefined;
  }
}
