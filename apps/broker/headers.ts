import type { Connector, Route } from '../../domain/connector';
import { AtbError } from '../../domain/error';

/** What of a call's headers may reach a system; besides these, the headers in which a route has parameters. */
const FORWARDED = [
  ...['accept', 'accept-language', 'content-type', 'if-match', 'if-none-match', 'if-modified-since'],
  ...['if-unmodified-since', 'prefer', 'traceparent', 'tracestate'],
];

/** RFC 9110 §7.6.1, and what older servers take for the same. */
const HOP_BY_HOP = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade'],
  ...['proxy-authenticate', 'proxy-authorization', 'proxy-authentication-info'],
]);

/** What a system says about itself or to a browser, and is not for agents. */
const KEPT_BACK = new Set([
  ...['set-cookie', 'set-cookie2', 'alt-svc', 'strict-transport-security', 'www-authenticate', 'server'],
  ...['x-powered-by', 'clear-site-data', 'refresh', 'location', 'content-location', 'date'],
]);

/** Only what says nothing of its own is let in: `Connection` names headers that a proxy takes away (attacks 31, 33). */
export function refuseConnectionTricks(headers: ReadonlyMap<string, string>): void {
  if (headers.has('upgrade')) throw new AtbError('upgrade_refused', 'connections are not upgraded here');
  const options = (headers.get('connection') ?? '').toLowerCase().split(',');
  if (options.some((option) => !['', 'keep-alive', 'close'].includes(option.trim()))) {
    throw new AtbError('header_forbidden', 'Connection may say keep-alive or close');
  }
  // RFC 9112 §6.1: other codings are lawful, and would leave a body that is not what was compared.
  if ((headers.get('transfer-encoding') ?? 'chunked').toLowerCase() !== 'chunked') {
    throw new AtbError('header_forbidden', 'Transfer-Encoding may say chunked');
  }
  if ((headers.get('expect') ?? '100-continue').toLowerCase() !== '100-continue') {
    throw new AtbError('header_forbidden', 'Expect may say 100-continue');
  }
}

/** The headers that the upstream gets: chosen, never copied; the credentials last, so that nothing stands beside them. */
export function upstreamHeaders(
  connector: Connector,
  route: Route,
  headers: ReadonlyMap<string, string>,
  credentials: Readonly<Record<string, string>>,
): Record<string, string> {
  const parameters = [...Object.values(route.parameters).flat(), ...route.unchecked];
  const names = new Set([
    ...FORWARDED,
    ...parameters.flatMap((place) => (place.in === 'header' ? [place.name] : [])),
    ...(connector.idempotencyKey === 'drop' ? [] : ['idempotency-key']),
  ]);
  const forwarded: Record<string, string> = {};
  for (const name of names) {
    const value = headers.get(name);
    if (value !== undefined && !HOP_BY_HOP.has(name)) forwarded[name] = value;
  }
  // As it is, so that what is counted and digested is what was meant.
  return { ...forwarded, 'accept-encoding': 'identity', ...credentials };
}

/** The headers of an answer that an agent gets. `headers`: what occurs more than once is a list, whatever it is. */
export function agentHeaders(
  statusCode: number,
  headers: Readonly<Record<string, string | string[] | undefined>>,
): Record<string, string | string[]> {
  // Without a body its length would have somebody wait for one (RFC 9110 §8.6).
  const unsaid = statusCode === 204 || statusCode === 304 ? 'content-length' : undefined;
  const listed = String(headers.connection ?? '')
    .toLowerCase()
    .split(',')
    .map((name) => name.trim());
  const handed: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (
      value === undefined ||
      name === unsaid ||
      HOP_BY_HOP.has(name) ||
      KEPT_BACK.has(name) ||
      listed.includes(name)
    )
      continue;
    handed[name] = value;
  }
  return handed;
}
