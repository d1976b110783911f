import { parseCertificate } from './certificate';
import type { Certificate } from './certificate';
import { searchCertificationPath } from './certification-path';
import type { PathOptions } from './certification-path';
import { isSpiffeError } from './error';
import { MAX_AUTHORITIES } from './pem';
import { parseSpiffeId } from './spiffe-id';
import { validityFault } from './validity';
import { LEAF_RULES, MAX_CHAIN, authorityFaultOf, signingFaultOf } from './x509-svid-rules';

/** What was found by one rule. */
export interface Finding {
  readonly rule: string;
  /** Where the rule comes from. */
  readonly source: string;
  readonly ok: boolean;
  readonly detail: string;
}

export interface CheckOptions extends Omit<PathOptions, 'signingFaultOf' | 'nameOf'> {
  readonly at: Date;
  /**
   * By RFC 5280 alone, as public suites of path validation want it: nothing of SPIFFE is asked, a path may be longer,
   * key identifiers have to be on both sides or on none,
   * and what cannot be read among intermediates and authorities is left out.
   */
  readonly chainOnly?: boolean;
}

/** What a chain may have that is not an SVID's; more only costs time. */
const CHAIN_ONLY = { maxCertificates: 32, maxIntermediates: 10 };

/**
 * Checks an X.509-SVID against the authorities of its trust domain, and says for each rule whether it is kept. Where all
 * are, validateX509Svid accepts it. Both are DER; `chain` has its leaf first.
 */
export function checkX509Svid(
  chain: readonly Uint8Array[],
  authorities: readonly Uint8Array[],
  { at, chainOnly = false, ...options }: CheckOptions,
): readonly Finding[] {
  const most = chainOnly ? CHAIN_ONLY.maxCertificates : MAX_CHAIN;
  if (chain.length > most) {
    return [finding('a chain of few', 'a limit of this library', `it has more than ${most} certificates`)];
  }
  if (authorities.length > MAX_AUTHORITIES) {
    const fault = `it has more than ${MAX_AUTHORITIES} certificates`;
    return [finding('a bundle of a reasonable size', 'a limit of this library', fault)];
  }
  const members = chain.map((der, index) => read(der, `certificate ${index + 1}`));
  const anchors = authorities.map((der, index) => read(der, `authority ${index + 1} of the bundle`));
  const [leaf, ...intermediates] = members;
  if (!leaf) return [finding('a certificate', 'X509-SVID §5.1', 'there is none')];
  const unreadable = [...intermediates, ...anchors].flatMap(({ name, fault }) =>
    fault === undefined ? [] : [{ ...FORM, ok: chainOnly, detail: `${name}: ${fault}` }],
  );
  if (!leaf.certificate) return [finding(FORM.rule, FORM.source, leaf.fault), ...unreadable];
  const names = new Map([...members, ...anchors].map(({ certificate, name }) => [certificate, name]));
  const nameOf = (certificate: Certificate) => names.get(certificate) ?? '';
  const { path, obstacles } = searchCertificationPath(
    leaf.certificate,
    readable(intermediates),
    readable(anchors),
    at,
    {
      nameOf,
      ...(chainOnly
        ? { maxIntermediates: CHAIN_ONLY.maxIntermediates, signingFaultOf: linkFaultOf }
        : { signingFaultOf }),
      ...options,
    },
  );
  return [
    finding(FORM.rule, FORM.source, undefined),
    ...unreadable,
    ...leafFindings(leaf.certificate, at),
    ...(chainOnly ? [] : svidFindings(leaf.certificate, readable(anchors))),
    path
      ? { ...PATH, ok: true, detail: path.map(nameOf).join(' → ') }
      : finding(PATH.rule, PATH.source, obstacles.join('; ')),
  ];
}

/**
 * An authority that identifies its keys does so in its own certificate and in those that it signs (RFC 5280 §4.2.1.1,
 * §4.2.1.2). §6.1 asks for none of it, and nothing is proven by it, so an SVID needs neither; but one without the other
 * is no certificate of the profile.
 */
function linkFaultOf(issuer: Certificate, issued: Certificate): string | undefined {
  const { isSelfIssued, hasSubjectKeyIdentifier, hasAuthorityKeyIdentifier } = issuer;
  if (!isSelfIssued && hasSubjectKeyIdentifier && !hasAuthorityKeyIdentifier) {
    return 'it identifies its key, and not the one that signed it';
  }
  if (hasSubjectKeyIdentifier === issued.hasAuthorityKeyIdentifier) return undefined;
  return hasSubjectKeyIdentifier
    ? 'it identifies its key, and what it signed does not'
    : 'it does not identify its key, and what it signed does';
}

interface Member {
  readonly name: string;
  readonly certificate?: Certificate;
  readonly fault?: string;
}

function read(der: Uint8Array, name: string): Member {
  try {
    return { name, certificate: parseCertificate(der) };
  } catch (error) {
    if (isSpiffeError(error)) return { name, fault: error.message };
    throw error;
  }
}

function readable(members: readonly Member[]): readonly Certificate[] {
  return members.flatMap(({ certificate }) => (certificate ? [certificate] : []));
}

function finding(rule: string, source: string, fault: string | undefined): Finding {
  return { rule, source, ok: fault === undefined, detail: fault ?? '' };
}

/** The trust domain that a certificate's URI names; undefined where it names none. Nothing is verified. */
export function namedTrustDomain(der: Uint8Array): string | undefined {
  try {
    const [uri, ...more] = parseCertificate(der).uris;
    return uri === undefined || more.length > 0 ? undefined : parseSpiffeId(uri).trustDomain;
  } catch (error) {
    if (isSpiffeError(error)) return undefined;
    throw error;
  }
}

const FORM = { rule: 'X.509 v3 in DER', source: 'RFC 5280 §4' };
const PATH = { rule: 'a path to an authority of the bundle', source: 'RFC 5280 §6.1, X509-SVID §5.1' };

function leafFindings(leaf: Certificate, at: Date): readonly Finding[] {
  const { notBefore, notAfter, faults, hasStrongSignature } = leaf;
  const time = validityFault(notBefore, notAfter, at);
  return [
    finding(
      'valid by now',
      'RFC 5280 §4.1.2.5',
      time === 'not_yet_valid' ? `not before ${notBefore.toISOString()}` : undefined,
    ),
    finding(
      'valid still',
      'RFC 5280 §4.1.2.5',
      time === 'expired' ? `until ${notAfter.toISOString()}` : undefined,
    ),
    finding(
      'names, key and extensions',
      'RFC 5280 §4.1.2, §4.2',
      faults.length === 0 ? undefined : faults.join('; '),
    ),
    finding(
      'signed with a strong algorithm',
      'RFC 5280 §4.1.1.2',
      hasStrongSignature ? undefined : 'its signature algorithm is weak or unknown',
    ),
  ];
}

function svidFindings(leaf: Certificate, anchors: readonly Certificate[]): readonly Finding[] {
  return [
    ...LEAF_RULES.map(({ rule, source, faultOf }) => finding(rule, source, faultOf(leaf))),
    finding(
      'the bundle has authorities, and nothing else',
      'X509-SVID §3.2, §6.1',
      anchors.length === 0
        ? 'it is empty'
        : anchors.map(authorityFaultOf).find((fault) => fault !== undefined),
    ),
  ];
}
