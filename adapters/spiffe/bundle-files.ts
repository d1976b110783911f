import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import type { Certificate } from './certificate';
import { SpiffeError, isSpiffeError } from './error';
import { lookAgain, orThrow } from './file-watch';
import type { FileWatchOptions } from './file-watch';
import type { JwtAuthorities } from './spiffe-bundle';
import { parseTrustBundle, TrustBundleSet } from './trust-bundle';
import type { JwtBundleSource, X509BundleSource } from './trust-bundle';

interface ReadBundle {
  readonly text: string;
  /** Of this one trust domain; undefined where nothing in the file was ever good. */
  readonly set: TrustBundleSet | undefined;
}

/**
 * Trust bundles from files, as TrustBundleSet.load, and as they are now. A file that is taken away takes its trust
 * domain away; one that cannot be read or used, half written perhaps, leaves what it said before.
 */
export class BundleFiles implements X509BundleSource, JwtBundleSource {
  /** By trust domain. */
  private bundles: ReadonlyMap<string, ReadBundle> = new Map();
  private stop: () => void = () => undefined;

  private constructor(private readonly path: string) {}

  /** Throws `bundle_malformed` where anything is wrong with them at the start, or there is none. */
  static async open(path: string, options: FileWatchOptions = {}): Promise<BundleFiles> {
    const files = new BundleFiles(path);
    await files.look(orThrow);
    if (files.bundles.size === 0) throw malformed(`there is no trust bundle in ${path}`);
    files.stop = lookAgain((report) => files.look(report), options);
    return files;
  }

  authoritiesOf(trustDomain: string): readonly Certificate[] {
    return this.setOf(trustDomain).authoritiesOf(trustDomain);
  }

  jwtAuthoritiesOf(trustDomain: string): JwtAuthorities {
    return this.setOf(trustDomain).jwtAuthoritiesOf(trustDomain);
  }

  close(): void {
    this.stop();
  }

  private setOf(trustDomain: string): TrustBundleSet {
    const set = this.bundles.get(trustDomain)?.set;
    if (!set) throw new SpiffeError('trust_domain_unknown', `the trust domain ${trustDomain} is not known`);
    return set;
  }

  private async look(report: (error: SpiffeError) => void): Promise<void> {
    const bundles = new Map<string, ReadBundle>();
    let names: readonly string[];
    try {
      names = await bundleFilesOf(this.path);
    } catch (cause) {
      report(malformed(`${this.path} cannot be read`, cause));
      return;
    }
    for (const file of names) {
      const trustDomain = basename(file, extname(file));
      const known = this.bundles.get(trustDomain);
      if (bundles.has(trustDomain)) {
        report(malformed(`there are two bundles of ${trustDomain}`));
        bundles.delete(trustDomain);
        if (known) bundles.set(trustDomain, known);
        continue;
      }
      const read = await readBundle(file, trustDomain, known, report);
      if (read) bundles.set(trustDomain, read);
    }
    this.bundles = bundles;
  }
}

/** Undefined where the file has gone. */
async function readBundle(
  file: string,
  trustDomain: string,
  known: ReadBundle | undefined,
  report: (error: SpiffeError) => void,
): Promise<ReadBundle | undefined> {
  let text = '';
  try {
    text = await readFile(file, 'utf8');
    if (text === known?.text) return known;
    return { text, set: TrustBundleSet.ofDocuments([[trustDomain, parseTrustBundle(text)]]) };
  } catch (cause) {
    if (isGone(cause)) return undefined;
    report(isSpiffeError(cause) ? cause : malformed(`${file} cannot be read`, cause));
    return { text, set: known?.set };
  }
}

/** None where the path has gone. */
async function bundleFilesOf(path: string): Promise<readonly string[]> {
  try {
    const isFolder = (await stat(path)).isDirectory();
    const files = isFolder ? (await readdir(path)).map((name) => join(path, name)) : [path];
    return files.filter((file) => extname(file) === '.pem' || extname(file) === '.json').sort();
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}

function isGone(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}

function malformed(message: string, cause?: unknown): SpiffeError {
  return new SpiffeError('bundle_malformed', message, { cause });
}
