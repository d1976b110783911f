import { createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { SpiffeError, isSpiffeError } from './error';
import { lookAgain, orThrow } from './file-watch';
import type { FileWatchOptions } from './file-watch';
import { ownX509Svid } from './own-svid';
import type { OwnX509Svid } from './own-svid';
import { parsePemCertificates } from './pem';
import type { X509BundleSource } from './trust-bundle';
import type { OwnIdentity } from './x509-source';

export interface SvidFilesOptions extends FileWatchOptions {
  /** The chain, PEM, leaf first. */
  readonly certFile: string;
  /** PEM. */
  readonly keyFile: string;
  /** Who vouches for the peers. */
  readonly bundles: X509BundleSource;
}

/**
 * The X.509-SVID of this process from two files, as they are now: whoever renews it writes them anew. While the two do
 * not belong together, are gone or cannot be read, the SVID of before stays.
 */
export class SvidFiles implements OwnIdentity {
  private text = '';
  private own: OwnX509Svid | undefined;
  private readonly listeners = new Set<() => void>();
  private stop: () => void = () => undefined;

  private constructor(private readonly options: SvidFilesOptions) {}

  /** Throws `svid_malformed` where the files have no SVID at the start. */
  static async open(options: SvidFilesOptions): Promise<SvidFiles> {
    const files = new SvidFiles(options);
    await files.look(orThrow);
    files.stop = lookAgain((report) => files.look(report), options);
    return files;
  }

  get svid(): OwnX509Svid {
    if (!this.own) throw new SpiffeError('svid_malformed', 'there is no SVID yet');
    return this.own;
  }

  authoritiesOf(trustDomain: string) {
    return this.options.bundles.authoritiesOf(trustDomain);
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  close(): void {
    this.stop();
    this.listeners.clear();
  }

  private async look(report: (error: SpiffeError) => void): Promise<void> {
    const { certFile, keyFile } = this.options;
    try {
      const [certificates, key] = await Promise.all([readFile(certFile, 'utf8'), readFile(keyFile, 'utf8')]);
      if (certificates + key === this.text) return;
      this.text = certificates + key;
      this.own = ownX509Svid(parsePemCertificates(certificates), createPrivateKey(key));
    } catch (cause) {
      const why = isSpiffeError(cause) ? cause.message : 'they cannot be read';
      report(new SpiffeError('svid_malformed', `${certFile} and ${keyFile} have no SVID: ${why}`, { cause }));
      return;
    }
    for (const listener of this.listeners) listener();
  }
}
