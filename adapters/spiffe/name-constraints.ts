import { isIP } from 'node:net';
import { DerError, DerSequence, contextTag, readDerSeries } from './der';
import type { Der } from './der';
import { emailAddressesOf, isWithin } from './distinguished-name';
import type { DistinguishedName } from './distinguished-name';
import { readGeneralName } from './general-name';
import type { GeneralName } from './general-name';

/** Which names an authority may vouch for (RFC 5280 §4.2.1.10). */
export interface NameConstraints {
  readonly permitted: readonly GeneralName[];
  readonly excluded: readonly GeneralName[];
}

/** Reads the extension. Throws DerError, also for what RFC 5280 does not know: distances. */
export function readNameConstraints(value: Der): NameConstraints {
  const sequence = new DerSequence(value);
  const permitted = sequence.takeIf(contextTag(0, 'constructed'));
  const excluded = sequence.takeIf(contextTag(1, 'constructed'));
  sequence.end();
  if (!permitted && !excluded) throw new DerError('constraints that constrain nothing');
  return { permitted: readSubtrees(permitted), excluded: readSubtrees(excluded) };
}

/**
 * Why the names of a certificate are not those that the constraints allow; undefined where they are. Names are the
 * alternative names, the subject, and the e-mail addresses in it.
 */
export function violationOf(
  { permitted, excluded }: NameConstraints,
  subject: DistinguishedName,
  alternatives: readonly GeneralName[],
): string | undefined {
  const names: readonly GeneralName[] = [
    ...alternatives,
    ...(subject.isEmpty ? [] : [{ form: 'directory', name: subject } as const]),
    ...emailAddressesOf(subject).map((text) => ({ form: 'email', text }) as const),
  ];
  for (const name of names) {
    const [allowed, forbidden] = [permitted, excluded].map((bases) =>
      bases.filter((base) => sameForm(name, base)),
    );
    if (!allowed || !forbidden || allowed.length + forbidden.length === 0) continue;
    if (!isComparable(name)) return `a ${name.form} name cannot be compared`;
    if (forbidden.some((base) => matches(name, base, 'excluded'))) return `a ${name.form} name is excluded`;
    if (allowed.length > 0 && !allowed.some((base) => matches(name, base, 'permitted'))) {
      return `a ${name.form} name is not permitted`;
    }
  }
  return undefined;
}

function readSubtrees(tagged: Der | undefined): readonly GeneralName[] {
  if (!tagged) return [];
  const subtrees = readDerSeries(tagged.content);
  if (subtrees.length === 0) throw new DerError('an empty list of subtrees');
  return subtrees.map((element) => {
    const [base, minimum, ...more] = new DerSequence(element).rest();
    // Minimum is 0 (which some write out), maximum is absent.
    const isZero = minimum?.tag === contextTag(0, 'primitive') && minimum.content.every((byte) => byte === 0);
    if (!base || more.length > 0 || (minimum && !isZero)) throw new DerError('a subtree with distances');
    return checkedBase(readGeneralName(base));
  });
}

function checkedBase(base: GeneralName): GeneralName {
  if (base.form === 'ip' && !isNetwork(base.bytes)) throw new DerError('not a network');
  // Only a URI's and a mailbox's domain may begin with a dot; for DNS that is no name.
  if (base.form === 'dns' && base.text !== '' && !isHost(base.text)) throw new DerError('not a domain');
  if (base.form === 'uri' || base.form === 'email') {
    const isDomain = isHost(base.text.replace(/^\./, ''));
    if (!isDomain && !(base.form === 'email' && isMailbox(base.text))) throw new DerError('not a domain');
  }
  return base;
}

function sameForm(name: GeneralName, base: GeneralName): boolean {
  if (name.form === 'other') return base.form === 'other' && base.number === name.number;
  return name.form === base.form;
}

/** A name that cannot be read for what it is cannot be said to be within anything. */
function isComparable(name: GeneralName): boolean {
  switch (name.form) {
    case 'dns':
      return isHost(name.text.replace(/^\*\./, ''));
    case 'email':
      return isMailbox(name.text);
    case 'uri':
      return hostOf(name.text) !== undefined;
    case 'ip':
      return name.bytes.length === 4 || name.bytes.length === 16;
    case 'directory':
      return true;
    case 'other':
      return false;
  }
}

function matches(name: GeneralName, base: GeneralName, list: 'permitted' | 'excluded'): boolean {
  if (name.form === 'directory' && base.form === 'directory') return isWithin(name.name, base.name);
  if (name.form === 'ip' && base.form === 'ip') return isInNetwork(name.bytes, base.bytes);
  if (name.form === 'dns' && base.form === 'dns') return matchesDns(name.text, base.text, list);
  if (name.form === 'email' && base.form === 'email') return matchesEmail(name.text, base.text);
  if (name.form === 'uri' && base.form === 'uri') return matchesHost(hostOf(name.text) ?? '', base.text);
  return false;
}

/** The domain and all below it. */
function matchesDns(name: string, base: string, list: 'permitted' | 'excluded'): boolean {
  const [host, domain] = [name.toLowerCase(), base.toLowerCase()];
  if (domain === '' || host === domain) return true;
  const suffix = `.${domain}`;
  if (host.endsWith(suffix)) return true;
  // A wildcard stands for every name in its place, so also for one that is excluded.
  return (
    list === 'excluded' && host.startsWith('*.') && suffix.endsWith(host.slice(1)) && isOneLabel(suffix, host)
  );
}

function isOneLabel(suffix: string, wildcard: string): boolean {
  return !suffix.slice(1, suffix.length - wildcard.length + 1).includes('.');
}

/** A mailbox is matched whole, a host exactly, and with a leading dot everything below it. */
function matchesEmail(name: string, base: string): boolean {
  const at = name.lastIndexOf('@');
  const host = name.slice(at + 1).toLowerCase();
  const baseAt = base.lastIndexOf('@');
  if (baseAt === -1) return matchesHost(host, base);
  return name.slice(0, at) === base.slice(0, baseAt) && host === base.slice(baseAt + 1).toLowerCase();
}

/** The host itself; with a leading dot, every host below. */
function matchesHost(host: string, base: string): boolean {
  const domain = base.toLowerCase();
  return domain.startsWith('.') ? host.endsWith(domain) : host === domain;
}

const URI_HOST = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/(?:[^/?#@]*@)?(\[[^\]]*\]|[^/?#:]*)(?::\d*)?(?:[/?#]|$)/;

/** The host of a URI in lower case; undefined where it has none that is a domain. */
function hostOf(uri: string): string | undefined {
  const host = URI_HOST.exec(uri)?.[1]?.toLowerCase();
  return host !== undefined && isHost(host) && isIP(host) === 0 ? host : undefined;
}

const HOST = /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_](?:[a-z0-9_-]{0,62}))*$/i;

function isHost(text: string): boolean {
  return HOST.test(text);
}

const LOCAL_PART = /^(?:[^\s"@<>()[\]\\,;:]+|"(?:[^"\\]|\\.)*")$/;

/** RFC 5321 §4.1.2. */
function isMailbox(text: string): boolean {
  const at = text.lastIndexOf('@');
  return LOCAL_PART.test(text.slice(0, at)) && isHost(text.slice(at + 1));
}

/** An address and a mask of the same length, which is ones and then zeros (RFC 4632). */
function isNetwork(bytes: Uint8Array): boolean {
  if (bytes.length !== 8 && bytes.length !== 32) return false;
  const mask = bytes.subarray(bytes.length / 2);
  const bits = Array.from(mask, (byte) => byte.toString(2).padStart(8, '0')).join('');
  return /^1*0*$/.test(bits);
}

function isInNetwork(address: Uint8Array, network: Uint8Array): boolean {
  if (address.length * 2 !== network.length) return false;
  return address.every((byte, index) => {
    const mask = network[address.length + index] ?? 0;
    return (byte & mask) === ((network[index] ?? 0) & mask);
  });
}
