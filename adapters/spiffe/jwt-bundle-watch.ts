import { SpiffeError } from './error';
import type { JwtAuthorities } from './spiffe-bundle';
import type { JwtBundleSource, TrustBundleSet } from './trust-bundle';
import type { WorkloadApiClient } from './workload-api';

/**
 * The keys of JWT-SVIDs by trust domain, kept up to date by the Workload API. The last good state stays while that
 * cannot be reached; there is none before the first answer, and none where the Workload API says so.
 */
export class JwtBundleWatch implements JwtBundleSource {
  private bundles: TrustBundleSet | undefined;
  private fault = new SpiffeError('workload_api_unavailable', 'the Workload API has not answered yet');
  private readonly stop: () => void;

  /** `onError` is told of everything that goes wrong; it is tried again. */
  constructor(client: WorkloadApiClient, onError: (error: SpiffeError) => void = () => undefined) {
    this.stop = client.watchJwtBundles({
      onUpdate: (bundles) => {
        this.bundles = bundles;
      },
      onError: (error) => {
        this.fault = error;
        if (error.code === 'workload_api_denied') this.bundles = undefined;
        onError(error);
      },
    });
  }

  jwtAuthoritiesOf(trustDomain: string): JwtAuthorities {
    if (!this.bundles) throw this.fault;
    return this.bundles.jwtAuthoritiesOf(trustDomain);
  }

  close(): void {
    this.stop();
  }
}
