import { isIPv4, isIPv6 } from 'node:net';
import { SpiffeError } from './error';

/**
 * Where the Workload API is, as gRPC names it: from `SPIFFE_ENDPOINT_SOCKET`, `unix:///path` or `tcp://ip:port`
 * (SPIFFE Workload Endpoint §4). On the text: no part but those may be there. Throws `endpoint_address_malformed`.
 */
export function parseEndpointAddress(uri: string | undefined): string {
  if (uri === undefined || uri === '') throw malformed('it is not set (SPIFFE_ENDPOINT_SOCKET)');
  if (/[?#]/.test(uri)) throw malformed('it has a query or a fragment');
  // Neither a URI nor a path of ours has them, and a log line should not.
  if (/[\s\p{Cc}]/u.test(uri)) throw malformed('it has a blank or control character');
  if (uri.startsWith('unix:')) return unixTarget(uri.slice('unix:'.length));
  if (uri.startsWith('tcp://')) return tcpTarget(uri.slice('tcp://'.length));
  throw malformed('it starts neither with unix: nor with tcp://');
}

/** `unix:///path`, or `unix:/path`: RFC 3986 has no authority in either. */
function unixTarget(rest: string): string {
  const path = rest.startsWith('//') ? rest.slice(2) : rest;
  if (!path.startsWith('/')) throw malformed('the path of its socket is not absolute, or it names a host');
  if (path === '/' || path.startsWith('//')) throw malformed('it has no path of a socket');
  return `unix:${path}`;
}

function tcpTarget(authority: string): string {
  const found = /^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):([0-9]{1,5})$/.exec(authority);
  if (!found) throw malformed('it is not tcp://<IP address>:<port>');
  const [, six, four, port] = found;
  if (!(six === undefined ? isIPv4(four ?? '') : isIPv6(six))) throw malformed('its host is no IP address');
  const number = Number(port);
  if (number < 1 || number > 65_535) throw malformed('its port is none');
  return six === undefined ? `ipv4:${four ?? ''}:${number}` : `ipv6:[${six}]:${number}`;
}

function malformed(why: string): SpiffeError {
  return new SpiffeError(
    'endpoint_address_malformed',
    `the address of the Workload API is malformed: ${why}`,
  );
}
