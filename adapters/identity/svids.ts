import type { Svid } from '../../domain/ports';
import { parseAtbSpiffeId } from '../../domain/spiffe-id';
import { TrustBundleSet, X509SvidValidator } from '../spiffe';
import type { X509BundleSource, X509Svid } from '../spiffe';
import { inAtbTerms } from './refusal';

/** Validates the SVIDs of ATB's principals. */
export class Svids {
  private readonly validator: X509SvidValidator;

  constructor(bundles: X509BundleSource) {
    this.validator = new X509SvidValidator(bundles);
  }

  /**
   * `chain` is base64 DER, leaf first. Throws the 401 codes. One spelling for one principal (attack 4): SPIFFE allows
   * upper case in a path, we do not.
   */
  validate(chain: readonly string[], at: Date): X509Svid & Svid {
    const svid = inAtbTerms(() => this.validator.validate(chain, at));
    parseAtbSpiffeId(svid.spiffeId);
    return svid;
  }
}

/** As TrustBundleSet.load. Throws `configuration_invalid`. */
export function loadTrustBundles(path: string): TrustBundleSet {
  return inAtbTerms(() => TrustBundleSet.load(path));
}
