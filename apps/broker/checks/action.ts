import { AtbError } from '../../../domain/error';
import type { Route } from '../../../domain/connector';
import type { MandateClaims } from '../../../domain/mandate';

/** The mandate is for what this route does: nothing that the caller writes names the action (attacks 23, 24). */
export function checkAction(mandate: Pick<MandateClaims, 'act'>, route: Route): void {
  if (mandate.act !== route.action) {
    throw new AtbError(
      'mandate_action_mismatch',
      `this route is ${route.action}, and the mandate is for something else`,
    );
  }
}
