import { appendFile } from 'node:fs/promises';
import type { Notification, Notifier } from '../../domain/ports';
import { TO_AGENT } from './channels';

// A repeat comes within seconds; this many are hours of a busy company.
const REMEMBERED = 10_000;

/**
 * The development default: notifications as lines of JSON in a file of ours alone, for people to read and for whatever
 * forwards them. A repeat under the same id is left out where this process still knows of the first; after a restart
 * it is told twice, and whoever forwards compares the ids.
 */
export class Outbox implements Notifier {
  private readonly told = new Set<string>();

  constructor(private readonly file: string) {}

  async notify(notification: Notification): Promise<void> {
    // In development agents have no webhook.
    if (notification.kind === TO_AGENT || this.told.has(notification.id)) return;
    const line = JSON.stringify({ time: new Date().toISOString(), ...notification });
    await appendFile(this.file, `${line}\n`, { mode: 0o600 });
    // Only now: one that could not be written must not count as told.
    this.told.add(notification.id);
    const [oldest] = this.told;
    if (this.told.size > REMEMBERED && oldest !== undefined) this.told.delete(oldest);
  }
}
