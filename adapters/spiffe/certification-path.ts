import { SpiffeError } from './error';
import type { Certificate, ExtendedKeyUse } from './certificate';

export interface PathOptions {
  /** What the leaf's key is used for. */
  readonly purpose: Exclude<ExtendedKeyUse, 'any'>;
  /** How many certificates there may be between leaf and root, self-issued ones not counted; 4 unless told. */
  readonly maxIntermediates?: number;
}

/** How many signatures are checked before giving up: certificates can be made that lead everywhere and nowhere. */
const MAX_SIGNATURE_CHECKS = 32;
const MAX_INTERMEDIATES = 4;

interface Search {
  readonly intermediates: readonly Certificate[];
  readonly roots: readonly Certificate[];
  readonly at: Date;
  readonly purpose: Exclude<ExtendedKeyUse, 'any'>;
  readonly maxIntermediates: number;
  checksLeft: number;
}

/**
 * Finds a path from the leaf through the intermediates, in whatever order they were given, to one of the roots, that
 * is valid at the time (RFC 5280 §6.1; names are compared byte by byte, policies are not processed). Roots are held to
 * the same rules as the others. A certificate with name constraints is refused: better none than half of them. Throws
 * `untrusted_svid` where there is no such path; what the leaf itself has to be like is not looked at.
 */
export function findCertificationPath(
  leaf: Certificate,
  intermediates: readonly Certificate[],
  roots: readonly Certificate[],
  at: Date,
  { purpose, maxIntermediates = MAX_INTERMEDIATES }: PathOptions,
): readonly [Certificate, ...Certificate[]] {
  const search = { intermediates, roots, at, purpose, maxIntermediates, checksLeft: MAX_SIGNATURE_CHECKS };
  const path = isUsable(leaf, search) ? extend([leaf], search) : undefined;
  if (!path)
    throw new SpiffeError('untrusted_svid', 'the certificate chain does not lead to its trust domain');
  return path;
}

type Path = readonly [Certificate, ...Certificate[]];

/** Goes one certificate further up, to a root where there is one, and back where it leads nowhere. */
function extend(path: Path, search: Search): Path | undefined {
  const last = path[path.length - 1] ?? path[0];
  for (const root of search.roots) {
    if (mayIssue(root, path, search) && isSignedBy(last, root, search)) return [...path, root];
  }
  for (const intermediate of search.intermediates) {
    if (path.some((used) => Buffer.from(used.der).equals(intermediate.der))) continue;
    if (!isSelfIssued(intermediate) && countedIntermediates(path) >= search.maxIntermediates) continue;
    if (!mayIssue(intermediate, path, search) || !isSignedBy(last, intermediate, search)) continue;
    const found = extend([...path, intermediate], search);
    if (found) return found;
  }
  return undefined;
}

/** Whether it may have issued the last certificate of the path, by all but its signature. */
function mayIssue(issuer: Certificate, path: Path, search: Search): boolean {
  const last = path[path.length - 1] ?? path[0];
  const { subject, isCa, pathLength, keyUsage } = issuer;
  return (
    sameName(last.issuer, subject) &&
    isUsable(issuer, search) &&
    isCa === true &&
    (keyUsage === undefined || keyUsage.has('keyCertSign')) &&
    (pathLength === undefined || countedIntermediates(path) <= pathLength)
  );
}

/** What every certificate of a path has to be, leaf, intermediate or root. */
function isUsable(certificate: Certificate, { at, purpose }: Search): boolean {
  const { notBefore, notAfter, isCa, keyUsage, extendedKeyUsage, hasNameConstraints } = certificate;
  return (
    notBefore <= at &&
    at <= notAfter &&
    !hasNameConstraints &&
    // RFC 5280 §4.2.1.9: only an authority's key signs certificates.
    (isCa === true || keyUsage?.has('keyCertSign') !== true) &&
    (extendedKeyUsage === undefined ||
      extendedKeyUsage.has(purpose) ||
      (isCa === true && extendedKeyUsage.has('any')))
  );
}

/** RFC 5280 §6.1.4 (l): self-issued intermediates, as at a change of keys, do not count. */
function countedIntermediates(path: Path): number {
  return path.slice(1).filter((intermediate) => !isSelfIssued(intermediate)).length;
}

function isSignedBy(certificate: Certificate, issuer: Certificate, search: Search): boolean {
  return search.checksLeft-- > 0 && certificate.isSignedBy(issuer);
}

function isSelfIssued({ subject, issuer }: Certificate): boolean {
  return sameName(subject, issuer);
}

function sameName(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.from(left).equals(right);
}
