import { AtbError } from '../../../domain/error';
import type { Svid, SvidValidator } from '../../../domain/ports';
import { parseAtbSpiffeId } from '../../../domain/spiffe-id';

/**
 * Who calls: an X.509-SVID, its chain against its own trust domain, with one URI (attack 25). `chain` is base64 DER,
 * leaf first. Throws the 401 codes.
 */
export function checkClientSvid(chain: readonly string[], svids: SvidValidator, now: Date): Svid {
  if (chain.length === 0) {
    throw new AtbError('certificate_missing', 'this call needs a client certificate, an X.509-SVID');
  }
  const svid = svids.validate(chain, now);
  // One spelling for one principal (attack 4).
  parseAtbSpiffeId(svid.spiffeId);
  return svid;
}
