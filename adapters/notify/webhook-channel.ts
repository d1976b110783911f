import { readFile } from 'node:fs/promises';
import { Webhook } from 'standardwebhooks';
import type { Notification } from '../../domain/ports';
import { exchange } from '../http/outbound';
import { Undeliverable } from './channels';
import type { Channel } from './channels';

export interface WebhookTarget {
  readonly url: string;
  /** A file with the shared secret, `whsec_…`; read at each call. */
  readonly secretFile: string;
  readonly caFile: string | undefined;
}

// The receiver takes the message over and works later: Standard Webhooks, "timeouts".
const TIMEOUT_MS = 15_000;
const MAX_ANSWER_BYTES = 65_536;
const GONE = 410;

/**
 * A signed webhook (Standard Webhooks 1.0): `webhook-id` is the notification's, so that the receiver can leave out
 * repeats; the signature covers id, time and body. Nothing in an answer is read but its status.
 */
export class WebhookChannel implements Channel {
  readonly type = 'webhook';
  constructor(
    private readonly target: WebhookTarget,
    private readonly payload: (notification: Notification) => unknown,
    private readonly clock: () => Date = () => new Date(),
  ) {}

  async tell(notification: Notification, createdAt: Date): Promise<void> {
    const { url, secretFile, caFile } = this.target;
    const body = JSON.stringify({
      type: notification.kind,
      timestamp: createdAt.toISOString(),
      data: this.payload(notification),
    });
    const webhook = new Webhook((await readFile(secretFile, 'utf8')).trim());
    const sentAt = this.clock();
    const { status } = await exchange(new URL(url), {
      method: 'POST',
      body,
      headers: {
        'content-type': 'application/json',
        'webhook-id': notification.id,
        'webhook-timestamp': String(Math.floor(sentAt.getTime() / 1000)),
        'webhook-signature': webhook.sign(notification.id, sentAt, body),
      },
      ca: caFile === undefined ? undefined : await readFile(caFile, 'utf8'),
      timeoutMs: TIMEOUT_MS,
      maxBytes: MAX_ANSWER_BYTES,
    });
    if (status === GONE) throw new Undeliverable('the receiver answered 410: it wants no more');
    if (status < 200 || status > 299) throw new Error(`the receiver answered ${status}`);
  }
}
