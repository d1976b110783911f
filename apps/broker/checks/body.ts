import type { Route } from '../../../domain/connector';
import { AtbError } from '../../../domain/error';
import type { Json } from '../../../domain/json';
import { parseStrictJson } from '../../../domain/strict-json';

/** RFC 8259 §11 defines no parameter; `charset=utf-8` is often sent, and says what is the case. */
const JSON_MEDIA_TYPE = /^application\/(?:json|[a-z0-9.-]+\+json)(?:\s*;\s*charset="?utf-8"?)?$/i;

/**
 * The body as a value, strictly parsed: what cannot be read has no parameters, and so is refused (attack 26). Null
 * where the route takes none. Throws `media_type_unsupported`, `call_malformed` and the codes of strict JSON.
 */
export function readBody(route: Route, headers: ReadonlyMap<string, string>, bytes: Uint8Array): Json {
  if (headers.has('content-encoding')) {
    throw new AtbError('media_type_unsupported', 'the body must come as it is, without a Content-Encoding');
  }
  if (route.body === 'none') {
    if (bytes.length > 0) throw new AtbError('call_malformed', 'this route takes no body');
    return null;
  }
  if (!JSON_MEDIA_TYPE.test(headers.get('content-type') ?? '')) {
    throw new AtbError('media_type_unsupported', 'the body must be application/json');
  }
  return parseStrictJson(bytes);
}
