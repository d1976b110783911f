import { readFile } from 'node:fs/promises';
import { exchange } from '../http/outbound';
import { NotNow, TryLess } from './exporter';
import type { Delivery, Destination, LineRecord } from './exporter';
import type { HttpsStore } from './https-store';

const TIMEOUT_MS = 30_000;
const MOST_ANSWER_BYTES = 8 * 1024 * 1024;
const OK = 200;
const TOO_LARGE = 413;
const CONFLICT = 409;
const TOO_MANY = 429;

interface BulkItem {
  readonly create?: { readonly status?: number; readonly error?: { readonly type?: string } };
}

/**
 * Elasticsearch's bulk API: `POST /_bulk`, for an index or a data stream. Each line is created under its own id, so that
 * one that is sent again is there once. The answer tells of each line: it can take some of them.
 */
export class ElasticDestination implements Destination {
  constructor(
    readonly name: string,
    private readonly store: HttpsStore,
    private readonly index: string,
  ) {}

  async send(lines: readonly LineRecord[]): Promise<Delivery> {
    const { url, secretFile, caFile } = this.store;
    const { status, body, retryAfterSeconds } = await exchange(new URL('/_bulk', url), {
      method: 'POST',
      headers: {
        'content-type': 'application/x-ndjson',
        authorization: `ApiKey ${(await readFile(secretFile, 'utf8')).trim()}`,
      },
      body: lines.map((line) => this.actionOf(line)).join(''),
      ca: caFile === undefined ? undefined : await readFile(caFile, 'utf8'),
      timeoutMs: TIMEOUT_MS,
      maxBytes: MOST_ANSWER_BYTES,
    });
    if (status === TOO_LARGE) throw new TryLess('Elasticsearch finds it too large');
    if (status !== OK) throw new NotNow(`Elasticsearch answered ${status}`, retryAfterSeconds);
    const items = itemsOf(body);
    if (items.length !== lines.length) throw new NotNow('Elasticsearch did not tell of each line');
    const again: LineRecord[] = [];
    const refused: string[] = [];
    lines.forEach((line, at) => {
      const { create } = items[at] ?? {};
      const itemStatus = create?.status ?? 500;
      // There already: it was sent before.
      if (itemStatus < 300 || itemStatus === CONFLICT) return;
      if (itemStatus === TOO_MANY || itemStatus >= 500) again.push(line);
      else refused.push(create?.error?.type ?? String(itemStatus));
    });
    return { again, refused };
  }

  private actionOf({ time, id, ...rest }: LineRecord): string {
    const action = { create: { _index: this.index, _id: id } };
    return `${JSON.stringify(action)}\n${JSON.stringify({ '@timestamp': time, id, ...rest })}\n`;
  }
}

function itemsOf(body: string): readonly BulkItem[] {
  try {
    const { items } = JSON.parse(body) as { items?: unknown };
    return Array.isArray(items) ? (items as BulkItem[]) : [];
  } catch {
    return [];
  }
}
