import { appendFile } from 'node:fs/promises';
import type { Notification, Notifier } from '../../domain/ports';

/** Notifications as lines of JSON in a file, for development and for whatever forwards them. */
export class Outbox implements Notifier {
  constructor(private readonly file: string) {}

  async notify(notification: Notification): Promise<void> {
    const line = JSON.stringify({ time: new Date().toISOString(), ...notification });
    await appendFile(this.file, `${line}\n`, { mode: 0o600 });
  }
}
