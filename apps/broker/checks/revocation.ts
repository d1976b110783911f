import { AtbError } from '../../../domain/error';
import type { StandingOrders } from '../../../domain/redemption';

/** Neither the mandate was revoked, nor its request, agent, connector, tier or everything stopped. */
export function checkRevocation(orders: StandingOrders, use: Parameters<StandingOrders['against']>[0]): void {
  const order = orders.against(use);
  if (order) throw stopped(order.what);
}

export function stopped(what: string): AtbError {
  if (what === 'mandate') return new AtbError('mandate_revoked', 'the mandate was revoked');
  if (what === 'everything') return new AtbError('stopped', 'everything is stopped by the kill switch');
  return new AtbError('stopped', `the ${what} was stopped`);
}
