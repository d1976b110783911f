import { randomBytes } from 'node:crypto';
import { canonicalJson } from '../../domain/canonical-json';
import { sha256Base64url } from '../../domain/digest';
import { AtbError } from '../../domain/error';
import { asRequestId } from '../../domain/request-id';

const REQUEST_ID_BYTES = 20;

/** One id for one caller and key; without a key, a new one. Knowing an id gives nothing: each call proves who asks. */
export function requestIdFor(spiffeId: string, idempotencyKey: string | undefined): string {
  return asRequestId(drawnOrDerived(spiffeId, idempotencyKey));
}

function drawnOrDerived(spiffeId: string, idempotencyKey: string | undefined): string {
  if (idempotencyKey === undefined) return randomBytes(REQUEST_ID_BYTES).toString('base64url');
  if (!/^[\x21-\x7e]{1,255}$/.test(idempotencyKey)) {
    throw new AtbError(
      'idempotency_key_malformed',
      'Idempotency-Key must be 1 to 255 visible ASCII characters',
    );
  }
  return sha256Base64url(canonicalJson([spiffeId, idempotencyKey])).slice(0, 27);
}
