import { SpiffeError } from './error';

declare const parsed: unique symbol;

/** A SPIFFE ID that was parsed: only parseSpiffeId makes one. */
export interface SpiffeId {
  readonly [parsed]: true;
  /** The whole text, which is also its one spelling. */
  readonly uri: string;
  readonly trustDomain: string;
  /** With its leading slash; empty for the ID of the trust domain itself. */
  readonly path: string;
}

const SCHEME = 'spiffe://';

/** SPIFFE-ID §2.3: implementations must support up to 2048 bytes, and must not make longer ones. */
const MAX_URI_BYTES = 2048;
/** SPIFFE-ID §2.1: the trust domain is at most 255 bytes. */
const MAX_TRUST_DOMAIN_BYTES = 255;

const TRUST_DOMAIN = /^[a-z0-9._-]+$/;
const PATH_SEGMENT = /^[A-Za-z0-9._-]+$/;

/**
 * Parses a SPIFFE ID (SPIFFE-ID §2) by its text alone. A URL parser would repair what has to be refused: other case,
 * percent-encoding, dot segments, a port, user information, a query, a fragment. Throws `spiffe_id_malformed`.
 */
export function parseSpiffeId(text: string): SpiffeId {
  if (text.length > MAX_URI_BYTES) throw malformed('it is longer than 2048 bytes');
  if (!text.startsWith(SCHEME)) throw malformed('it does not start with spiffe://');
  const rest = text.slice(SCHEME.length);
  const slash = rest.indexOf('/');
  const trustDomain = parseTrustDomain(slash === -1 ? rest : rest.slice(0, slash));
  const path = slash === -1 ? '' : rest.slice(slash);
  if (path !== '') checkPath(path);
  return { uri: text, trustDomain, path } as SpiffeId;
}

/**
 * As parseSpiffeId, of a workload: an ID without a path names the trust domain itself, and nobody in it (X509-SVID
 * §3.1). Throws `spiffe_id_malformed`.
 */
export function parseWorkloadId(text: string): SpiffeId {
  const id = parseSpiffeId(text);
  if (id.path === '') throw malformed('it names a trust domain and no workload in it');
  return id;
}

/** Checks the name of a trust domain (SPIFFE-ID §2.1). Throws `spiffe_id_malformed`. */
export function parseTrustDomain(text: string): string {
  if (text === '') throw malformed('its trust domain is empty');
  if (text.length > MAX_TRUST_DOMAIN_BYTES) throw malformed('its trust domain is longer than 255 bytes');
  if (!TRUST_DOMAIN.test(text)) {
    throw malformed('its trust domain has a character other than a-z, 0-9, dot, dash and underscore');
  }
  return text;
}

function checkPath(path: string): void {
  for (const segment of path.slice(1).split('/')) {
    if (segment === '') throw malformed('its path has an empty segment or ends in a slash');
    if (segment === '.' || segment === '..') throw malformed('its path has a dot segment');
    if (!PATH_SEGMENT.test(segment)) {
      throw malformed('its path has a character other than letters, digits, dot, dash and underscore');
    }
  }
}

function malformed(why: string): SpiffeError {
  return new SpiffeError('spiffe_id_malformed', `the SPIFFE ID is malformed: ${why}`);
}
