import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkBundleEndpoint, fetchBundle } from './bundle-endpoint';
import type { BundleEndpoint } from './bundle-endpoint';
import type { Certificate } from './certificate';
import { SpiffeError, isSpiffeError } from './error';
import { parseBundleDocument } from './spiffe-bundle';
import type { JwtAuthorities } from './spiffe-bundle';
import { TrustBundleSet } from './trust-bundle';
import type { JwtBundleSource, X509BundleSource } from './trust-bundle';

export interface FederatedBundlesOptions {
  readonly endpoints: readonly BundleEndpoint[];
  /** The bundles of all other trust domains, and those to begin with: also to verify an endpoint for the first time. */
  readonly others: X509BundleSource & JwtBundleSource;
  /** Where the last good bundles are kept over a restart, `<trust domain>.json`; nowhere unless told. */
  readonly folder?: string;
  /** How often at least, at most, and where a bundle does not hint; 60, 86400 and 300 seconds unless told. */
  readonly refreshSeconds?: { readonly least?: number; readonly most?: number; readonly unhinted?: number };
  readonly timeoutMs?: number;
  /** Told of everything that went wrong; the last good bundle is kept. */
  readonly onError?: (trustDomain: string, error: SpiffeError) => void;
}

interface Held {
  readonly text: string;
  readonly sequence: bigint | undefined;
  readonly refreshHintSeconds: number | undefined;
  readonly bundles: TrustBundleSet;
}

/**
 * The bundles of trust domains that are federated with, kept up to date from their endpoints (SPIFFE Federation §4, §6.2):
 * as often as each bundle hints, a bundle at a time, never merged with another. A bundle that is older than the one that
 * is there, or cannot be used, is not taken; what is there stays.
 */
export class FederatedBundles implements X509BundleSource, JwtBundleSource {
  private readonly held = new Map<string, Held>();
  private readonly timers = new Map<string, NodeJS.Timeout>();
  private closed = false;

  private constructor(private readonly options: FederatedBundlesOptions) {}

  /**
   * Asks every endpoint once; what cannot be had then comes later. Throws for endpoints that are configured wrongly:
   * `bundle_endpoint_malformed`, `spiffe_id_malformed`, `bundle_malformed` (two for one trust domain).
   */
  static async open(options: FederatedBundlesOptions): Promise<FederatedBundles> {
    options.endpoints.forEach(checkBundleEndpoint);
    const names = options.endpoints.map(({ trustDomain }) => trustDomain);
    if (new Set(names).size < names.length) {
      throw new SpiffeError('bundle_malformed', 'there are two endpoints for the bundle of one trust domain');
    }
    const source = new FederatedBundles(options);
    names.forEach((name) => {
      source.recall(name);
    });
    await Promise.all(options.endpoints.map((endpoint) => source.keepFresh(endpoint)));
    return source;
  }

  authoritiesOf(trustDomain: string): readonly Certificate[] {
    return (this.held.get(trustDomain)?.bundles ?? this.options.others).authoritiesOf(trustDomain);
  }

  jwtAuthoritiesOf(trustDomain: string): JwtAuthorities {
    return (this.held.get(trustDomain)?.bundles ?? this.options.others).jwtAuthoritiesOf(trustDomain);
  }

  close(): void {
    this.closed = true;
    for (const timer of this.timers.values()) clearTimeout(timer);
  }

  /** §6.2: after a failure too, at the next interval and not before. */
  private async keepFresh(endpoint: BundleEndpoint): Promise<void> {
    await this.refresh(endpoint);
    if (this.closed) return;
    const timer = setTimeout(() => void this.keepFresh(endpoint), this.intervalMs(endpoint.trustDomain));
    timer.unref();
    this.timers.set(endpoint.trustDomain, timer);
  }

  private async refresh(endpoint: BundleEndpoint): Promise<void> {
    const { trustDomain } = endpoint;
    try {
      this.take(trustDomain, await fetchBundle(endpoint, this, this.options.timeoutMs));
    } catch (error) {
      if (!isSpiffeError(error)) throw error;
      this.options.onError?.(trustDomain, error);
    }
  }

  private take(trustDomain: string, text: string): void {
    const before = this.held.get(trustDomain);
    // The same list of authorities as long as nothing changes, so that what was validated by it stays known.
    if (before?.text === text) return;
    const held = heldOf(trustDomain, text);
    if (before?.sequence !== undefined && held.sequence !== undefined && held.sequence <= before.sequence) {
      // §4.2. The same number with other contents must not be (Trust Domain and Bundle §4.1.1).
      throw new SpiffeError(
        'bundle_malformed',
        `the bundle of ${trustDomain} is not newer than the one that is there`,
      );
    }
    this.held.set(trustDomain, held);
    this.store(trustDomain, text);
  }

  private intervalMs(trustDomain: string): number {
    const { least = 60, most = 86_400, unhinted = 300 } = this.options.refreshSeconds ?? {};
    const seconds = this.held.get(trustDomain)?.refreshHintSeconds ?? unhinted;
    return Math.min(Math.max(seconds, least), most) * 1000;
  }

  /** What was kept before a restart, where it is still good. */
  private recall(trustDomain: string): void {
    if (this.options.folder === undefined) return;
    let text: string;
    try {
      text = readFileSync(fileOf(this.options.folder, trustDomain), 'utf8');
    } catch {
      return;
    }
    try {
      this.held.set(trustDomain, heldOf(trustDomain, text));
    } catch (error) {
      if (!isSpiffeError(error)) throw error;
      this.options.onError?.(trustDomain, error);
    }
  }

  private store(trustDomain: string, text: string): void {
    const { folder } = this.options;
    if (folder === undefined) return;
    const file = fileOf(folder, trustDomain);
    mkdirSync(folder, { recursive: true });
    // Whole or not at all.
    writeFileSync(`${file}.new`, text);
    renameSync(`${file}.new`, file);
  }
}

function heldOf(trustDomain: string, text: string): Held {
  const document = parseBundleDocument(text);
  const { sequence, refreshHintSeconds } = document;
  return {
    text,
    sequence,
    refreshHintSeconds,
    bundles: TrustBundleSet.ofDocuments([[trustDomain, document]]),
  };
}

function fileOf(folder: string, trustDomain: string): string {
  return join(folder, `${trustDomain}.json`);
}
