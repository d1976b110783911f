import { readFile } from 'node:fs/promises';
import { createTransport } from 'nodemailer';
import { sha256Base64url } from '../../domain/digest';
import type { Notification } from '../../domain/ports';
import { Undeliverable } from './channels';
import type { Channel } from './channels';
import type { Templates } from './templates';

export interface MailTarget {
  readonly host: string;
  readonly port: number;
  /** `implicit`: TLS from the first byte (RFC 8314). `starttls`: refused where the server does not offer it. */
  readonly tls: 'implicit' | 'starttls';
  readonly caFile: string | undefined;
  readonly username: string | undefined;
  readonly passwordFile: string | undefined;
  readonly from: string;
}

const TIMEOUT_MS = 15_000;

/** Mail over SMTP, always under TLS. Addresses come from configuration and policy alone, never from a notification. */
export class MailChannel implements Channel {
  readonly type = 'mail';
  constructor(
    private readonly target: MailTarget,
    private readonly templates: Templates,
    private readonly addressesOf: (notification: Notification) => Promise<readonly string[]>,
  ) {}

  async tell(notification: Notification): Promise<void> {
    const { host, port, tls, caFile, username, passwordFile, from } = this.target;
    const to = await this.addressesOf(notification);
    if (to.length === 0) throw new Undeliverable('nobody has an address');
    const { subject, body } = this.templates.text(notification);
    const transport = createTransport({
      host,
      port,
      secure: tls === 'implicit',
      requireTLS: tls === 'starttls',
      connectionTimeout: TIMEOUT_MS,
      greetingTimeout: TIMEOUT_MS,
      socketTimeout: TIMEOUT_MS,
      // Nothing of a message is ever read from a file or fetched.
      disableFileAccess: true,
      disableUrlAccess: true,
      tls: { minVersion: 'TLSv1.2', ...(caFile !== undefined && { ca: await readFile(caFile, 'utf8') }) },
      ...(username !== undefined &&
        passwordFile !== undefined && {
          auth: { user: username, pass: (await readFile(passwordFile, 'utf8')).trim() },
        }),
    });
    try {
      const { rejected } = await transport.sendMail({
        from,
        to: [...to],
        subject,
        text: body,
        html: this.templates.html(notification),
        // The same errand sent twice is one message to a mail reader. RFC 5322 §3.6.4.
        messageId: `<${sha256Base64url(`${notification.id} ${to.join()}`)}@atb>`,
        headers: { 'Auto-Submitted': 'auto-generated', 'X-Auto-Response-Suppress': 'All' },
      });
      // The others have it: told again, they would be told for days.
      if (rejected.length > 0)
        throw new Undeliverable(`the mail server refused ${rejected.length} of ${to.length} addresses`);
    } finally {
      transport.close();
    }
  }
}
