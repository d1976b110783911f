import type { Certificate, KeyUse } from './certificate';
import { isSpiffeError } from './error';
import type { SpiffeErrorCode } from './error';
import { parseSpiffeId, parseWorkloadId } from './spiffe-id';

/** One thing that X509-SVID asks of a leaf. */
export interface LeafRule {
  readonly rule: string;
  /** The section of the specification that it comes from. */
  readonly source: string;
  readonly code: SpiffeErrorCode;
  /** What is wrong with the leaf by this rule; undefined where nothing is. */
  readonly faultOf: (leaf: Certificate) => string | undefined;
}

const LEAF_KEY_USES: ReadonlySet<KeyUse> = new Set(['digitalSignature', 'keyEncipherment', 'keyAgreement']);
/** X509-SVID §2 allows any number; more than any workload has only cost time. */
const MAX_NAMES = 128;
/** Longer chains than any trust domain has only cost time. */
export const MAX_CHAIN = 8;
const SCHEME_LENGTH = 'spiffe://'.length;

/** In the order in which they are checked. */
export const LEAF_RULES: readonly LeafRule[] = [
  {
    rule: 'is a leaf, not an authority',
    source: 'X509-SVID §4.1, §5.2',
    code: 'svid_malformed',
    faultOf: ({ isCa }) => (isCa === true ? 'it is an authority' : undefined),
  },
  {
    rule: 'key usage is there, and critical',
    source: 'X509-SVID §4.3',
    code: 'svid_malformed',
    faultOf: ({ keyUsage, hasCriticalKeyUsage }) => {
      if (!keyUsage) return 'it does not say what its key is for';
      return hasCriticalKeyUsage ? undefined : 'its key usage is not critical';
    },
  },
  {
    rule: 'key is for signatures, and for no certificates',
    source: 'X509-SVID §4.3, §5.2',
    code: 'svid_malformed',
    faultOf: ({ keyUsage = new Set<KeyUse>() }) => {
      if (keyUsage.has('keyCertSign') || keyUsage.has('cRLSign')) return 'its key may sign certificates';
      if (!keyUsage.has('digitalSignature')) return 'its key is not for digital signatures';
      const other = [...keyUsage].find((use) => !LEAF_KEY_USES.has(use));
      return other === undefined ? undefined : `its key is for ${other} too`;
    },
  },
  {
    rule: 'extended key usage, where there is one, has both serverAuth and clientAuth',
    source: 'X509-SVID §4.4',
    code: 'svid_malformed',
    faultOf: ({ extendedKeyUsage }) => {
      const missing = (['serverAuth', 'clientAuth'] as const).find(
        (use) => !(extendedKeyUsage?.has(use) ?? true),
      );
      return missing === undefined ? undefined : `its key is not for ${missing}`;
    },
  },
  {
    rule: 'exactly one URI among its names',
    source: 'X509-SVID §2, §5.2',
    code: 'svid_malformed',
    faultOf: ({ uris }) => (uris.length === 1 ? undefined : 'it does not have exactly one URI'),
  },
  {
    rule: `at most ${MAX_NAMES} names`,
    source: 'a limit of this library',
    code: 'svid_malformed',
    faultOf: ({ names }) => (names.length <= MAX_NAMES ? undefined : `it has more than ${MAX_NAMES} names`),
  },
  {
    rule: 'the URI is the SPIFFE ID of a workload',
    source: 'X509-SVID §2, §3.1; SPIFFE-ID §2',
    code: 'spiffe_id_malformed',
    faultOf: ({ uris }) => spiffeIdFault(() => parseWorkloadId(uris[0] ?? '')),
  },
];

/** What X509-SVID asks of the certificates above the leaf (§3.2, §4.3); undefined where nothing is wrong. */
export function signingFaultOf({ keyUsage, hasCriticalKeyUsage, uris }: Certificate): string | undefined {
  if (keyUsage?.has('keyCertSign') !== true) return 'its key usage does not say that it signs certificates';
  if (!hasCriticalKeyUsage) return 'its key usage is not critical';
  if (uris.length > 1) return 'it has more than one URI';
  const [uri] = uris;
  if (uri === undefined || !uri.startsWith('spiffe:')) return undefined;
  return (
    spiffeIdFault(() => parseSpiffeId(uri)) ??
    (uri.indexOf('/', SCHEME_LENGTH) === -1 ? undefined : 'its SPIFFE ID has a path')
  );
}

/** What keeps a certificate out of a trust bundle; undefined where nothing does. */
export function authorityFaultOf({ isCa, faults }: Certificate): string | undefined {
  // X509-SVID §3.2, §6.1.
  if (isCa !== true) return 'a certificate of it is not an authority';
  return faults[0] === undefined ? undefined : `an authority of it cannot be used: ${faults[0]}`;
}

function spiffeIdFault(parse: () => unknown): string | undefined {
  try {
    parse();
    return undefined;
  } catch (error) {
    if (isSpiffeError(error)) return error.message;
    throw error;
  }
}
