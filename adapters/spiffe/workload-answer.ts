import { createPrivateKey } from 'node:crypto';
import { readDerSeries } from './der';
import { SpiffeError } from './error';
import { ownX509Svid } from './own-svid';
import type { OwnX509Svid } from './own-svid';
import { parseJwtBundle } from './spiffe-bundle';
import { parseSpiffeId, parseWorkloadId } from './spiffe-id';
import type { SpiffeId } from './spiffe-id';
import { TrustBundleSet } from './trust-bundle';
import type {
  JwtBundlesResponse,
  JwtSvidResponse,
  X509BundlesResponse,
  X509SvidMessage,
  X509SvidResponse,
} from './workload-api.service';

/** All that a process has for X.509, at one time. */
export interface X509Context {
  /** The first is the default (SPIFFE Workload API §5.3). */
  readonly svids: readonly [OwnX509Svid, ...OwnX509Svid[]];
  /** Of the own trust domain, and of those that it is federated with. */
  readonly bundles: TrustBundleSet;
}

/** A JWT-SVID of this process. */
export interface OwnJwtSvid {
  readonly id: SpiffeId;
  /** In compact serialisation. It is a secret. */
  readonly token: string;
  readonly expiresAt: Date;
  readonly hint: string;
}

/** Reads an answer of FetchX509SVID. Throws `workload_api_answer_malformed`: half an answer is none (§4.5). */
export function readX509Context({ svids, federatedBundles }: X509SvidResponse): X509Context {
  return inAnswer(() => {
    const [first, ...others] = withoutRepeatedHints(svids).map(readSvid);
    if (!first) throw malformed('it has no SVID');
    const bundles = new Map<string, readonly Uint8Array[]>();
    for (const { spiffeId, bundle } of svids) {
      // Two SVIDs of one trust domain come with its bundle twice.
      bundles.set(parseSpiffeId(spiffeId).trustDomain, readBundle(bundle));
    }
    for (const [trustDomain, bundle] of byTrustDomain(federatedBundles)) {
      if (bundles.has(trustDomain)) throw malformed('a federated bundle is that of the own trust domain');
      bundles.set(trustDomain, readBundle(bundle));
    }
    return { svids: [first, ...others], bundles: x509Bundles(bundles) };
  });
}

/** Reads an answer of FetchX509Bundles (§5.2.2). Throws `workload_api_answer_malformed`. */
export function readX509Bundles({ bundles }: X509BundlesResponse): TrustBundleSet {
  return inAnswer(() =>
    x509Bundles(new Map(byTrustDomain(bundles).map(([name, bundle]) => [name, readBundle(bundle)]))),
  );
}

/** Reads an answer of FetchJWTBundles (§6.2.2). Throws `workload_api_answer_malformed`. */
export function readJwtBundles({ bundles }: JwtBundlesResponse): TrustBundleSet {
  return inAnswer(() =>
    TrustBundleSet.ofDocuments(
      byTrustDomain(bundles).map(([name, json]) => [
        name,
        { jwtAuthorities: parseJwtBundle(Buffer.from(json).toString('utf8')) },
      ]),
    ),
  );
}

/** Reads an answer of FetchJWTSVID (§6.2.1). Throws `workload_api_answer_malformed`. */
export function readJwtSvids({ svids }: JwtSvidResponse): readonly [OwnJwtSvid, ...OwnJwtSvid[]] {
  return inAnswer(() => {
    const [first, ...others] = withoutRepeatedHints(svids).map(({ spiffeId, svid, hint }) => {
      const id = parseWorkloadId(spiffeId);
      const { sub, exp } = claimsOf(svid);
      if (sub !== id.uri) throw malformed('a JWT-SVID is of another subject than its SPIFFE ID');
      if (typeof exp !== 'number') throw malformed('a JWT-SVID does not say when it ends');
      return { id, token: svid, expiresAt: new Date(exp * 1000), hint };
    });
    if (!first) throw malformed('it has no SVID');
    return [first, ...others];
  });
}

/** Unverified: the Workload API is who vouches for it. */
function claimsOf(token: string): { readonly sub?: unknown; readonly exp?: unknown } {
  const [, payload, signature, ...more] = token.split('.');
  if (payload === undefined || signature === undefined || more.length > 0) {
    throw malformed('a JWT-SVID is not in compact serialisation');
  }
  return (JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) ?? {}) as Record<string, unknown>;
}

/** §5.2.1, §6.2.1: of several with the same hint, the first. */
function withoutRepeatedHints<T extends { readonly hint: string }>(svids: readonly T[]): readonly T[] {
  const seen = new Set<string>();
  return svids.filter(({ hint }) => hint === '' || (!seen.has(hint) && seen.add(hint)));
}

function readSvid({ spiffeId, x509Svid, x509SvidKey, hint }: X509SvidMessage): OwnX509Svid {
  const chain = readDerSeries(x509Svid).map(({ encoded }) => encoded);
  const privateKey = createPrivateKey({ key: Buffer.from(x509SvidKey), format: 'der', type: 'pkcs8' });
  const svid = ownX509Svid(chain, privateKey, hint);
  if (svid.id.uri !== spiffeId) throw malformed('an SVID is of another SPIFFE ID than it says');
  return svid;
}

function readBundle(bytes: Uint8Array): readonly Uint8Array[] {
  return readDerSeries(bytes).map(({ encoded }) => encoded);
}

function x509Bundles(bundles: ReadonlyMap<string, readonly Uint8Array[]>): TrustBundleSet {
  return TrustBundleSet.ofDocuments(
    [...bundles].map(([name, x509Authorities]) => [name, { x509Authorities }] as const),
  );
}

function byTrustDomain(bundles: Readonly<Record<string, Uint8Array>>): [string, Uint8Array][] {
  return Object.entries(bundles).map(([id, bundle]) => {
    const { trustDomain, path } = parseSpiffeId(id);
    if (path !== '') throw malformed('a bundle is of a workload, not of a trust domain');
    return [trustDomain, bundle];
  });
}

function inAnswer<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw malformed(cause instanceof Error ? cause.message : '', cause);
  }
}

function malformed(why: string, cause?: unknown): SpiffeError {
  return new SpiffeError(
    'workload_api_answer_malformed',
    `the answer of the Workload API cannot be used: ${why}`,
    {
      cause,
    },
  );
}
