import { AtbError } from './error';

/** A request target (RFC 9112 §3.2.1, origin form) that has one spelling and no other. */
export interface RequestTarget {
  /** As it was sent, which is also how it is forwarded. */
  readonly path: string;
  readonly segments: readonly string[];
  /** As it was sent, without the question mark; empty where there is none. */
  readonly search: string;
  /** Decoded. No name occurs twice. */
  readonly query: ReadonlyMap<string, string>;
}

const MAX_TARGET = 8192;
/** RFC 3986 §3.3 pchar, without `;`, which some servers cut off together with what follows it. */
const PATH_SEGMENT = /^(?:[A-Za-z0-9._~!$&'()*+,=:@-]|%[0-9A-F]{2})+$/;
/** RFC 3986 §3.4, without `;` (to some a separator), `+` (to some a space), brackets, and the separators themselves. */
const QUERY_PART = /^(?:[A-Za-z0-9._~!$'()*,:@/?-]|%[0-9A-F]{2})*$/;
/** RFC 3986 §2.3: percent-encoding these makes a second spelling of the same thing. */
const UNRESERVED = /[A-Za-z0-9._~-]/;

/**
 * Takes a request target apart, and refuses whatever another server could read in another way: absolute form, empty
 * and dot segments, encoded slashes and backslashes, `;`, control characters, percent signs that encode percent signs
 * or letters, UTF-8 that is overlong or broken, names that occur twice. Throws `target_malformed`,
 * `parameter_ambiguous`.
 */
export function parseRequestTarget(target: string): RequestTarget {
  if (target.length > MAX_TARGET) throw malformed(`it is longer than ${MAX_TARGET} characters`);
  if (!target.startsWith('/')) throw malformed('it is not a path');
  const mark = target.indexOf('?');
  const path = mark === -1 ? target : target.slice(0, mark);
  const search = mark === -1 ? '' : target.slice(mark + 1);
  return { path, segments: path.slice(1).split('/').map(checkSegment), search, query: parseQuery(search) };
}

/** The segment as it was sent. */
function checkSegment(segment: string): string {
  if (segment === '') throw malformed('its path has an empty segment');
  if (!PATH_SEGMENT.test(segment)) throw malformed('its path has a character that does not belong there');
  if (segment === '.' || segment === '..') throw malformed('its path has a dot segment');
  if (/[/\\;]/.test(decodeComponent(segment))) throw malformed('its path has an encoded separator');
  return segment;
}

function parseQuery(search: string): ReadonlyMap<string, string> {
  const query = new Map<string, string>();
  if (search === '') return query;
  for (const pair of search.split('&')) {
    const [name = '', value, ...more] = pair.split('=');
    if (name === '' || value === undefined || more.length > 0) {
      throw malformed('its query is not made of name=value');
    }
    if (!QUERY_PART.test(name) || !QUERY_PART.test(value)) {
      throw malformed('its query has a character that does not belong there; write it percent-encoded');
    }
    const decoded = decodeComponent(name);
    if (query.has(decoded)) throw new AtbError('parameter_ambiguous', 'a query parameter occurs twice');
    query.set(decoded, decodeComponent(value));
  }
  return query;
}

/**
 * Decodes a percent-encoded component that has one spelling: unreserved characters stand for themselves. What comes
 * out has no control character, and no percent sign that a second decoding could trip over. Throws `target_malformed`.
 */
export function decodeComponent(text: string): string {
  if (!text.includes('%')) return text;
  let decoded: string;
  try {
    // Refuses overlong forms, surrogates and broken sequences (ECMA-262 §19.2.6.6).
    decoded = decodeURIComponent(text);
  } catch {
    throw malformed('its percent-encoding is not UTF-8');
  }
  for (const [encoded] of text.matchAll(/%[0-7][0-9A-F]/g)) {
    if (UNRESERVED.test(decodeURIComponent(encoded))) {
      throw malformed('it encodes a character that needs no encoding');
    }
  }

  if (/[\u0000-\u001f\u007f-\u009f%]/.test(decoded))
    throw malformed('it encodes a control character or a percent sign');
  return decoded;
}

function malformed(why: string): AtbError {
  return new AtbError('target_malformed', `the request target cannot be used: ${why}`);
}
