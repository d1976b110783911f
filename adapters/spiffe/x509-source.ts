import type { Certificate } from './certificate';
import { SpiffeError } from './error';
import type { X509BundleSource } from './trust-bundle';
import type { TrustBundleSet } from './trust-bundle';
import type { OwnX509Svid } from './own-svid';
import type { X509Context } from './workload-answer';
import type { WorkloadApiClient } from './workload-api';

export interface X509SourceOptions {
  /** Which of several SVIDs is this process's own; the first unless told (SPIFFE Workload API §5.3). */
  readonly pick?: (svids: X509Context['svids']) => OwnX509Svid | undefined;
  /** How long to wait for the first SVID; 1500 ms unless told. Longer where the agent may start after us. */
  readonly firstTimeoutMs?: number;
  /** Told of everything that went wrong after the start; what was received before is kept. */
  readonly onError?: (error: SpiffeError) => void;
}

/** One's own SVID and the bundles as they are now, and whenever they change. */
export interface OwnIdentity extends X509BundleSource {
  /** Throws `workload_api_denied` where it was taken away. */
  readonly svid: OwnX509Svid;
  /** Calls back after each change of the SVID, until the function that it answers is called. */
  onChange(listener: () => void): () => void;
}

const FIRST_TIMEOUT_MS = 1500;

/**
 * The X.509-SVID of this process and the bundles, kept up to date by the Workload API. While that cannot be reached, or
 * sends what cannot be used, the last good state stays; when it says that there is no identity any more, it goes.
 */
export class X509Source implements OwnIdentity {
  private context: X509Context | undefined;
  private denial: SpiffeError | undefined;
  private readonly listeners = new Set<() => void>();
  private stop: () => void = () => undefined;

  private constructor(private readonly options: X509SourceOptions) {}

  /**
   * Waits for the first SVID. Throws the reason of the last try when there is none in time: `workload_api_denied`,
   * `workload_api_unavailable`, `workload_api_answer_malformed`.
   */
  static async open(client: WorkloadApiClient, options: X509SourceOptions = {}): Promise<X509Source> {
    const source = new X509Source(options);
    await source.start(client, options.firstTimeoutMs ?? FIRST_TIMEOUT_MS);
    return source;
  }

  get svid(): OwnX509Svid {
    const svid = this.current().svids;
    const picked = this.options.pick ? this.options.pick(svid) : svid[0];
    if (!picked)
      throw new SpiffeError('workload_api_denied', 'none of the SVIDs is the one that was asked for');
    return picked;
  }

  get bundles(): TrustBundleSet {
    return this.current().bundles;
  }

  authoritiesOf(trustDomain: string): readonly Certificate[] {
    return this.bundles.authoritiesOf(trustDomain);
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  close(): void {
    this.stop();
    this.listeners.clear();
  }

  private current(): X509Context {
    if (this.context) return this.context;
    throw this.denial ?? new SpiffeError('workload_api_unavailable', 'there is no SVID yet');
  }

  private start(client: WorkloadApiClient, timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      let last = new SpiffeError('workload_api_unavailable', 'the Workload API does not answer');
      const giveUp = (error: SpiffeError) => {
        clearTimeout(timer);
        this.stop();
        reject(error);
      };
      const timer = setTimeout(() => {
        giveUp(last);
      }, timeoutMs);
      let opened = false;
      this.stop = client.watchX509Context({
        onUpdate: (context) => {
          clearTimeout(timer);
          this.context = context;
          this.denial = undefined;
          opened = true;
          resolve();
          this.changed();
        },
        onError: (error, final) => {
          last = error;
          if (!opened) {
            if (final) giveUp(error);
            return;
          }
          if (error.code === 'workload_api_denied') {
            this.context = undefined;
            this.denial = error;
            this.changed();
          }
          this.options.onError?.(error);
        },
      });
    });
  }

  private changed(): void {
    for (const listener of this.listeners) listener();
  }
}
