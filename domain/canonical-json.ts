import canonicalize from 'canonicalize';
import { AtbError } from './error';

/**
 * The RFC 8785 (JCS) form of a value: the one text over which digests are taken. Throws `invalid_request` for what
 * JSON cannot carry.
 */
export function canonicalJson(value: unknown): string {
  let text: string | undefined;
  try {
    text = canonicalize(value);
  } catch (cause) {
    throw new AtbError('invalid_request', 'the value has no canonical JSON form', { cause });
  }
  if (text === undefined) throw new AtbError('invalid_request', 'the value has no canonical JSON form');
  return text;
}
