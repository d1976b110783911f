import { SpiffeError } from './error';
import type { Certificate, ExtendedKeyUse } from './certificate';
import { policiesHold } from './certificate-policies';
import { sameName } from './distinguished-name';
import { violationOf } from './name-constraints';
import { validityFault } from './validity';

export interface PathOptions {
  /** What the leaf's key is used for. */
  readonly purpose: Exclude<ExtendedKeyUse, 'any'>;
  /** How many certificates there may be between leaf and root, self-issued ones not counted; 4 unless told. */
  readonly maxIntermediates?: number;
  /**
   * What is wrong, by the caller's own rules, with a certificate as the issuer of another; undefined where nothing is.
   */
  readonly signingFaultOf?: (issuer: Certificate, issued: Certificate) => string | undefined;
  /** What a certificate is called where it stands in the way. */
  readonly nameOf?: (certificate: Certificate) => string;
}

/** Leaf first, the root at last. */
export type Path = readonly [Certificate, ...Certificate[]];

/** Where a search ended: at a path, or with what stood in the way. */
export type PathSearch =
  | { readonly path: Path; readonly obstacles: readonly [] }
  | { readonly path: undefined; readonly obstacles: readonly string[] };

/**
 * How many signatures are checked, and how many certificates tried, before giving up: certificates can be made that
 * lead everywhere and nowhere.
 */
const MAX_SIGNATURE_CHECKS = 100;
const MAX_STEPS = 2_000;
const MAX_INTERMEDIATES = 4;
const MAX_OBSTACLES = 12;
const TIME_FAULTS = { not_yet_valid: 'it is not valid yet', expired: 'it has expired' } as const;

/**
 * Finds a path as searchCertificationPath does. Throws `untrusted_svid` where there is none.
 */
export function findCertificationPath(
  leaf: Certificate,
  intermediates: readonly Certificate[],
  roots: readonly Certificate[],
  at: Date,
  options: PathOptions,
): Path {
  const { path } = searchCertificationPath(leaf, intermediates, roots, at, options);
  if (path) return path;
  throw new SpiffeError('untrusted_svid', 'the certificate chain does not lead to its trust domain');
}

/**
 * Looks for a path from the leaf through the intermediates, in whatever order they were given, to one of the roots, that
 * is valid at the time (RFC 5280 §6.1). Where several lead on, each is tried. Roots are held to the same rules as the
 * others, but for who signed them. What the leaf itself has to be like is not looked at.
 */
export function searchCertificationPath(
  leaf: Certificate,
  intermediates: readonly Certificate[],
  roots: readonly Certificate[],
  at: Date,
  options: PathOptions,
): PathSearch {
  return new Search(intermediates, roots, at, options).from(leaf);
}

class Search {
  private checksLeft = MAX_SIGNATURE_CHECKS;
  private stepsLeft = MAX_STEPS;
  private readonly obstacles = new Set<string>();
  /** By certificate, then by issuer. */
  private readonly signatures = new Map<Certificate, Map<Certificate, boolean>>();

  constructor(
    private readonly intermediates: readonly Certificate[],
    private readonly roots: readonly Certificate[],
    private readonly at: Date,
    private readonly options: PathOptions,
  ) {}

  from(leaf: Certificate): PathSearch {
    const fault = this.faultOf(leaf);
    if (fault !== undefined) return { path: undefined, obstacles: [`the leaf: ${fault}`] };
    const path = this.extend([leaf]);
    if (path) return { path, obstacles: [] };
    if (this.obstacles.size === 0)
      this.obstacles.add('nothing in the chain or the bundle has the name of its issuer');
    return { path: undefined, obstacles: [...this.obstacles] };
  }

  /** Goes one certificate further up, to a root where there is one, and back where it leads nowhere. */
  private extend(path: Path): Path | undefined {
    for (const root of this.roots) {
      // A root vouches for itself; that its constraints are critical is what makes it one (RFC 5280 §4.2.1.9).
      if (!this.mayIssue(root, path) || !this.isSigned(path, root)) continue;
      if (!root.hasCriticalBasicConstraints) this.note(root, 'its basic constraints are not critical');
      else if (this.holds([...path, root], root)) return [...path, root];
    }
    for (const intermediate of this.intermediates) {
      if (path.some((used) => isSame(used, intermediate))) continue;
      if (!this.mayIssue(intermediate, path) || !this.isSigned(path, intermediate)) continue;
      const { maxIntermediates = MAX_INTERMEDIATES } = this.options;
      if (!intermediate.isSelfIssued && countedIntermediates(path) >= maxIntermediates) {
        this.note(intermediate, `there would be more than ${maxIntermediates} between leaf and authority`);
        continue;
      }
      const found = this.extend([...path, intermediate]);
      if (found) return found;
    }
    return undefined;
  }

  /** Whether it may have issued the last certificate of the path, by all but its signature. */
  private mayIssue(issuer: Certificate, path: Path): boolean {
    if (!sameName(lastOf(path).issuer, issuer.subject)) return false;
    if (this.stepsLeft-- <= 0) return this.note(issuer, 'there are too many paths to try');
    const fault =
      this.faultOf(issuer) ??
      issuingFaultOf(issuer, path) ??
      this.options.signingFaultOf?.(issuer, lastOf(path));
    return fault === undefined || this.note(issuer, fault);
  }

  /** What keeps a certificate out of every path, leaf, intermediate or root. */
  private faultOf({ notBefore, notAfter, faults, extendedKeyUsage, isCa }: Certificate): string | undefined {
    const time = validityFault(notBefore, notAfter, this.at);
    if (time !== undefined) return TIME_FAULTS[time];
    const { purpose } = this.options;
    const isForPurpose =
      extendedKeyUsage === undefined ||
      extendedKeyUsage.has(purpose) ||
      (isCa === true && extendedKeyUsage.has('any'));
    return isForPurpose ? faults[0] : `it is not for ${purpose}`;
  }

  private isSigned(path: Path, issuer: Certificate): boolean {
    const certificate = lastOf(path);
    const known = this.signatures.get(certificate) ?? new Map<Certificate, boolean>();
    this.signatures.set(certificate, known);
    let signed = known.get(issuer);
    if (signed === undefined) {
      if (!certificate.hasStrongSignature)
        return this.note(issuer, 'what it signed is signed with a weak algorithm');
      if (this.checksLeft-- <= 0) return this.note(issuer, 'there are too many signatures to check');
      signed = certificate.isSignedBy(issuer);
      known.set(issuer, signed);
    }
    return signed || this.note(issuer, 'it has the name of the issuer, and did not sign');
  }

  /** What can be said of a path as a whole: the names in it, and the policies. */
  private holds(path: Path, root: Certificate): boolean {
    for (const [index, { nameConstraints }] of path.entries()) {
      if (!nameConstraints) continue;
      for (const [below, { subject, names, isSelfIssued }] of path.slice(0, index).entries()) {
        // RFC 5280 §6.1.3 (b), (c): a self-issued certificate is bound only where it is the leaf.
        if (isSelfIssued && below > 0) continue;
        const violation = violationOf(nameConstraints, subject, names);
        if (violation !== undefined) return this.note(root, `on the path to it, ${violation}`);
      }
    }
    const fromAnchor = path.slice(0, -1).reverse();
    return (
      policiesHold(fromAnchor) || this.note(root, 'on the path to it, no policy is left that is required')
    );
  }

  /** Answers false, for the caller to hand on. */
  private note(certificate: Certificate, obstacle: string): false {
    const name = this.options.nameOf?.(certificate) ?? 'a certificate';
    if (this.obstacles.size < MAX_OBSTACLES) this.obstacles.add(`${name}: ${obstacle}`);
    return false;
  }
}

/** Why it cannot be the issuer at the end of that path. */
function issuingFaultOf({ isCa, pathLength, keyUsage }: Certificate, path: Path): string | undefined {
  if (isCa !== true) return 'it is no authority';
  if (keyUsage !== undefined && !keyUsage.has('keyCertSign')) return 'its key may not sign certificates';
  if (pathLength !== undefined && countedIntermediates(path) > pathLength) {
    return 'there are more certificates below it than it allows';
  }
  return undefined;
}

/** RFC 5280 §6.1.4 (l): self-issued intermediates, as at a change of keys, do not count. */
function countedIntermediates(path: Path): number {
  return path.slice(1).filter(({ isSelfIssued }) => !isSelfIssued).length;
}

function isSame(left: Certificate, right: Certificate): boolean {
  return left === right || Buffer.from(left.der).equals(right.der);
}

function lastOf(path: Path): Certificate {
  return path[path.length - 1] ?? path[0];
}
