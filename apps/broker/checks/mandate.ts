import { AtbError } from '../../../domain/error';
import type { NeededMandate } from '../../../domain/error';
import type { MandateClaims } from '../../../domain/mandate';

/** Verifies form, type, signature, issuer, audience and time of a mandate. */
export interface MandateVerifier {
  verify(compact: string, now: Date): Promise<MandateClaims>;
  /** Its times alone. Throws `mandate_invalid`, `mandate_lapsed`. */
  requireInTime(mandate: MandateClaims, now: Date): void;
}

/** Says what a mandate for the call would have to name, so that whoever calls can ask for it. */
export function mandateMissing(needed: NeededMandate, reasons: readonly string[] = []): AtbError {
  return new AtbError(
    'mandate_missing',
    'this call needs a mandate: Authorization: PoA <mandate>, from POST /issue of AgentAuth for what `needed` says',
    { needed, reasons },
  );
}

const AUTHORIZATION = /^PoA ([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)$/i;

/** The mandate of `Authorization: PoA <jwt>` in its one spelling; null where there is no such header. Throws `mandate_invalid`. */
export function presentedMandate(headers: ReadonlyMap<string, string>): string | null {
  const authorization = headers.get('authorization');
  if (authorization === undefined) return null;
  const mandate = AUTHORIZATION.exec(authorization)?.[1];
  if (mandate === undefined) {
    throw new AtbError('mandate_invalid', 'Authorization must be "PoA", one space, and a compact JWS');
  }
  return mandate;
}
