import { createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { parseCertificate } from './certificate';
import { SpiffeError } from './error';
import { pemOf } from './pem';
import { parseWorkloadId } from './spiffe-id';
import type { SpiffeId } from './spiffe-id';

/** An X.509-SVID of this process, with its key. */
export interface OwnX509Svid {
  readonly id: SpiffeId;
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  readonly certificatePem: string;
  readonly privateKey: KeyObject;
  /** PKCS#8. */
  readonly privateKeyPem: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** What the operator says it is for; empty where nothing. */
  readonly hint: string;
}

/**
 * A chain (DER, leaf first) and the private key of its leaf, which has one SPIFFE ID. Throws `certificate_missing`,
 * `certificate_malformed`, `svid_malformed`, `spiffe_id_malformed`.
 */
export function ownX509Svid(chain: readonly Uint8Array[], privateKey: KeyObject, hint = ''): OwnX509Svid {
  const [leaf] = chain;
  if (!leaf) throw new SpiffeError('certificate_missing', 'an SVID has no certificate');
  const { uris, notBefore, notAfter, publicKey } = parseCertificate(leaf);
  const [uri, ...more] = uris;
  if (uri === undefined || more.length > 0) throw malformed('does not have exactly one URI');
  if (!createPublicKey(privateKey).equals(publicKey)) throw malformed('comes with the key of another');
  return {
    id: parseWorkloadId(uri),
    chain,
    certificatePem: pemOf(chain),
    privateKey,
    privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    notBefore,
    notAfter,
    hint,
  };
}

function malformed(why: string): SpiffeError {
  return new SpiffeError('svid_malformed', `an SVID ${why}`);
}
