import { Logger } from '@nestjs/common';
import { NotificationDelivery } from '../../adapters/notify/delivery';
import { readNotificationSystem } from '../../adapters/notify/notification-system';
import { Outbox } from '../../adapters/notify/outbox';
import { NotificationOutbox } from '../../adapters/postgres/notification-outbox';
import type { Notifier, PolicyEngine } from '../../domain/ports';
import type { WorkerConfiguration } from './configuration';

export interface Notifications {
  readonly notifier: Notifier;
  close(): Promise<void>;
}

/** The notifier that is configured, at work. */
export async function openNotifications(
  configured: WorkerConfiguration['notifications'],
  databaseUrl: string,
  policy: Pick<PolicyEngine, 'contacts'>,
): Promise<Notifications> {
  if ('file' in configured) return { notifier: new Outbox(configured.file), close: () => Promise.resolve() };
  const system = await readNotificationSystem(configured.system);
  const log = new Logger('Notifications');
  const outbox = new NotificationOutbox(databaseUrl);
  const report = (line: string) => {
    log.warn(line);
  };
  const delivery = new NotificationDelivery(outbox, system, report, () => policy.contacts());
  delivery.start();
  return {
    notifier: delivery,
    async close() {
      await delivery.stop();
      await outbox.end();
    },
  };
}
