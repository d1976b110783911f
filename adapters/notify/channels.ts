import type { Notification } from '../../domain/ports';

/** The kind of notification that goes to the agent which asked, and to nobody else. */
export const TO_AGENT = 'decided';

/** A way to tell somebody. Rejects where it did not work; the same errand told again carries the same id. */
export interface Channel {
  readonly type: 'mail' | 'slack' | 'webhook';
  tell(notification: Notification, createdAt: Date): Promise<void>;
}

/** A failure that no later attempt mends: the receiver said so. */
export class Undeliverable extends Error {
  override readonly name = 'Undeliverable';
}
