import { AtbError } from '../../domain/error';
import { parseRequestTarget } from '../../domain/request-target';
import type { RequestTarget } from '../../domain/request-target';

/** What an agent wants to do, whoever brings it: our proxy, another gateway, a tool call. */
export interface Call {
  readonly connector: string;
  readonly method: string;
  /** Below the connector, canonical, with its leading slash. */
  readonly path: string;
  readonly query: ReadonlyMap<string, string>;
  /** The query as it was sent. */
  readonly search: string;
  /** By lower-case name; no name occurs twice. */
  readonly headers: ReadonlyMap<string, string>;
  /** The request as the agent sent it, which a DPoP proof must be over (RFC 9449 §4.2); the URL without its query. */
  readonly addressed: { readonly method: string; readonly url: string };
  /** Whose call, and for what, whoever asks says that it is; undefined where nobody says so. */
  readonly expected?: { readonly subject: string; readonly action: string };
  /** A gateway makes the call: its answer is not seen here. */
  readonly answeredElsewhere?: true;
  /** Reads the whole body. Throws `body_too_large`, `request_timeout`. */
  readonly body: (limitBytes: number) => Promise<Uint8Array>;
}

/** All others are not for here. */
export const CALL_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);

/** Headers that other servers take for the method, the path or the host of a call (attack 24). */
const OVERRIDES = new Set([
  ...['x-http-method', 'x-http-method-override', 'x-method-override', 'x-original-method'],
  ...[
    'x-original-url',
    'x-rewrite-url',
    'x-original-uri',
    'x-forwarded-uri',
    'x-forwarded-prefix',
    'x-override-url',
  ],
  ...['x-atb-action', 'x-atb-connector'],
]);

/** As many as common proxies take. */
const MOST_HEADERS = 100;

const CONNECTOR = /^[a-z0-9][a-z0-9-]{0,62}$/;

/** `/c/<connector>/<path>`. Throws `target_malformed`, `parameter_ambiguous`, `not_found`. */
export function parseCallTarget(
  target: string,
): { readonly connector: string; readonly path: string } & RequestTarget {
  const parsed = parseRequestTarget(target);
  const [prefix, connector, ...rest] = parsed.segments;
  if (prefix !== 'c' || connector === undefined || !CONNECTOR.test(connector) || rest.length === 0) {
    throw new AtbError('not_found', 'a call goes to /c/<connector>/<path>');
  }
  return { ...parsed, connector, path: `/${rest.join('/')}` };
}

/**
 * Headers as they came (name, value, name, value …), all of them, each name once. Two of one name are two meanings: which one
 * counts depends on who reads. Throws `parameter_ambiguous`, `header_forbidden`, `call_malformed`.
 */
export function parseCallHeaders(raw: readonly string[]): ReadonlyMap<string, string> {
  if (raw.length > 2 * MOST_HEADERS)
    throw new AtbError('call_malformed', `a call has at most ${MOST_HEADERS} headers`);
  const headers = new Map<string, string>();
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = (raw[at] ?? '').toLowerCase();
    const value = raw[at + 1] ?? '';
    if (headers.has(name)) throw new AtbError('parameter_ambiguous', 'a header occurs twice');
    if (OVERRIDES.has(name))
      throw new AtbError('header_forbidden', 'a header would change the method or the path');
    // Node hands on bytes as Latin-1; what is not ASCII has no one meaning.
    if (!/^[\t\x20-\x7e]*$/.test(value))
      throw new AtbError('call_malformed', 'a header is not printable ASCII');
    headers.set(name, value);
  }
  return headers;
}
