import type { Notification } from '../domain/ports';
import { epochSeconds } from './assessment';
import type { ActivityPorts } from './ports';

/** Whom a notification for some roles goes to: also to those who stand in for somebody away. */
export async function addressees(
  ports: ActivityPorts,
  roles: readonly string[],
): Promise<Pick<Notification, 'roles' | 'deputies'>> {
  const deputies = await ports.policy.deputies({ roles, now: epochSeconds(ports.clock()) });
  return { roles, ...(deputies.length > 0 && { deputies }) };
}
