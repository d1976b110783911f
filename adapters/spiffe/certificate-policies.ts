import { DerError, DerSequence, Tag, contextTag, readInteger, readOid } from './der';
import type { Der } from './der';

/** What a certificate says of policies (RFC 5280 §4.2.1.4, §4.2.1.5, §4.2.1.11, §4.2.1.14). */
export interface CertificatePolicies {
  /** Undefined where it says nothing, which is no policy at all. */
  readonly policies: ReadonlySet<string> | undefined;
  /** From a policy of the issuer's to those of the subject's that are as good. */
  readonly mappings: ReadonlyMap<string, ReadonlySet<string>>;
  /** After how many certificates more; undefined where it does not say. */
  readonly requireExplicitPolicy: number | undefined;
  readonly inhibitPolicyMapping: number | undefined;
  readonly inhibitAnyPolicy: number | undefined;
}

const ANY_POLICY = '551d2000';
/** Larger numbers mean the same: never. */
const MANY = 0xffff;

/** Reads the list of policies; qualifiers are for people. Throws DerError. */
export function readPolicies(value: Der): ReadonlySet<string> {
  const policies = new Set<string>();
  for (const element of new DerSequence(value).rest()) {
    const information = new DerSequence(element);
    const policy = readOid(information.take(Tag.objectIdentifier));
    information.takeIf(Tag.sequence);
    information.end();
    if (policies.has(policy)) throw new DerError('a policy twice');
    policies.add(policy);
  }
  if (policies.size === 0) throw new DerError('an empty list of policies');
  return policies;
}

/** Throws DerError, also where anyPolicy is mapped, which must not be (RFC 5280 §6.1.4 (a)). */
export function readPolicyMappings(value: Der): ReadonlyMap<string, ReadonlySet<string>> {
  const mappings = new Map<string, Set<string>>();
  for (const element of new DerSequence(value).rest()) {
    const mapping = new DerSequence(element);
    const from = readOid(mapping.take(Tag.objectIdentifier));
    const to = readOid(mapping.take(Tag.objectIdentifier));
    mapping.end();
    if (from === ANY_POLICY || to === ANY_POLICY) throw new DerError('anyPolicy is mapped');
    mappings.set(from, (mappings.get(from) ?? new Set()).add(to));
  }
  if (mappings.size === 0) throw new DerError('an empty list of mappings');
  return mappings;
}

/** Throws DerError. */
export function readPolicyConstraints(
  value: Der,
): Pick<CertificatePolicies, 'requireExplicitPolicy' | 'inhibitPolicyMapping'> {
  const sequence = new DerSequence(value);
  const explicit = sequence.takeIf(contextTag(0, 'primitive'));
  const mapping = sequence.takeIf(contextTag(1, 'primitive'));
  sequence.end();
  if (!explicit && !mapping) throw new DerError('constraints that constrain nothing');
  return {
    requireExplicitPolicy: explicit && readSkipCertificates({ ...explicit, tag: Tag.integer }),
    inhibitPolicyMapping: mapping && readSkipCertificates({ ...mapping, tag: Tag.integer }),
  };
}

/** Throws DerError. */
export function readSkipCertificates(der: Der): number {
  const content = readInteger(der);
  if ((content[0] ?? 0) >= 0x80) throw new DerError('a negative number of certificates');
  return content.reduce((value, byte) => Math.min(value * 256 + byte, MANY), 0);
}

interface PathMember extends CertificatePolicies {
  readonly isSelfIssued: boolean;
}

/**
 * Whether a path, from below the anchor to the leaf, keeps the rules of policies (RFC 5280 §6.1, with any policy good
 * to the user, and none required at the start). Of the tree of policies only its lowest level is kept, as all that is
 * asked is whether it has one (RFC 9618 §5: by policy, so that its size is bounded).
 */
export function policiesHold(path: readonly PathMember[]): boolean {
  let level: ReadonlyMap<string, ReadonlySet<string>> = new Map([[ANY_POLICY, new Set([ANY_POLICY])]]);
  let [explicit, mapping, any] = [path.length + 1, path.length + 1, path.length + 1];
  for (const [index, certificate] of path.entries()) {
    const isLast = index === path.length - 1;
    const anyCounts = any > 0 || (!isLast && certificate.isSelfIssued);
    level = certificate.policies ? nextLevel(level, certificate.policies, anyCounts) : new Map();
    if (explicit === 0 && level.size === 0) return false;
    const {
      requireExplicitPolicy = MANY,
      inhibitPolicyMapping = MANY,
      inhibitAnyPolicy = MANY,
    } = certificate;
    if (isLast) {
      explicit = requireExplicitPolicy === 0 ? 0 : Math.max(explicit - 1, 0);
      break;
    }
    level = mapped(level, certificate.mappings, mapping > 0);
    const step = certificate.isSelfIssued ? 0 : 1;
    explicit = Math.min(Math.max(explicit - step, 0), requireExplicitPolicy);
    mapping = Math.min(Math.max(mapping - step, 0), inhibitPolicyMapping);
    any = Math.min(Math.max(any - step, 0), inhibitAnyPolicy);
  }
  return explicit > 0 || level.size > 0;
}

/** §6.1.3 (d). */
function nextLevel(
  level: ReadonlyMap<string, ReadonlySet<string>>,
  policies: ReadonlySet<string>,
  anyCounts: boolean,
): ReadonlyMap<string, ReadonlySet<string>> {
  const expected = new Set([...level.values()].flatMap((set) => [...set]));
  const next = new Map<string, ReadonlySet<string>>();
  for (const policy of policies) {
    if (policy !== ANY_POLICY && (expected.has(policy) || level.has(ANY_POLICY)))
      next.set(policy, new Set([policy]));
  }
  if (policies.has(ANY_POLICY) && anyCounts) {
    for (const policy of expected) if (!next.has(policy)) next.set(policy, new Set([policy]));
  }
  return next;
}

/** §6.1.4 (b). */
function mapped(
  level: ReadonlyMap<string, ReadonlySet<string>>,
  mappings: CertificatePolicies['mappings'],
  mayMap: boolean,
): ReadonlyMap<string, ReadonlySet<string>> {
  if (mappings.size === 0) return level;
  const next = new Map(level);
  for (const [from, to] of mappings) {
    if (!mayMap) next.delete(from);
    else if (level.has(from) || level.has(ANY_POLICY)) next.set(from, to);
  }
  return next;
}
