import { readFile } from 'node:fs/promises';
import type { Notification } from '../../domain/ports';
import { exchange } from '../http/outbound';
import { Undeliverable } from './channels';
import type { Channel } from './channels';
import type { Templates } from './templates';

export interface SlackTarget {
  /** A file with the incoming webhook's URL, which is its own secret; read at each call. */
  readonly urlFile: string;
  readonly caFile: string | undefined;
}

const TIMEOUT_MS = 10_000;
const MAX_ANSWER_BYTES = 65_536;

/**
 * A Slack-compatible incoming webhook. What is told stands in a `plain_text` object, which Slack does not format, link
 * or page anybody for; our link is the one mrkdwn there is. `text` is for receivers that know no blocks.
 */
export class SlackChannel implements Channel {
  readonly type = 'slack';
  constructor(
    private readonly target: SlackTarget,
    private readonly templates: Templates,
  ) {}

  async tell(notification: Notification): Promise<void> {
    const url = new URL((await readFile(this.target.urlFile, 'utf8')).trim());
    const { subject, body } = this.templates.text(notification);
    const link = this.templates.linkTo(notification);
    const { status } = await exchange(url, {
      method: 'POST',
      body: JSON.stringify({
        text: slackEscaped(subject),
        unfurl_links: false,
        blocks: [
          { type: 'header', text: { type: 'plain_text', text: subject.slice(0, 150), emoji: false } },
          { type: 'section', text: { type: 'plain_text', text: body.slice(0, 3_000), emoji: false } },
          ...(link === undefined
            ? []
            : [{ type: 'section', text: { type: 'mrkdwn', text: `<${link}|Look and decide here>` } }]),
        ],
      }),
      headers: { 'content-type': 'application/json' },
      ca: this.target.caFile === undefined ? undefined : await readFile(this.target.caFile, 'utf8'),
      timeoutMs: TIMEOUT_MS,
      maxBytes: MAX_ANSWER_BYTES,
    });
    // 404 and 410: the webhook was removed (Slack's "channel_not_found", "no_service").
    if (status === 404 || status === 410) throw new Undeliverable(`the receiver answered ${status}`);
    if (status < 200 || status > 299) throw new Error(`the receiver answered ${status}`);
  }
}

/** Slack's own escapes, and its formatting characters made harmless, for the one field that has no plain_text form. */
export function slackEscaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replace(/[*_~`]/g, (mark) => `${mark}\u2060`);
}
