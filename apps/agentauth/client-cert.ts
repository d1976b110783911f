import { AtbError } from '../../domain/error';

/** RFC 9440 §2.2, §2.3. */
const LEAF = 'client-cert';
const CHAIN = 'client-cert-chain';

/** An RFC 8941 byte sequence (§3.3.5): base64 between colons, the one spelling of its bytes. */
const BYTES = /^:([A-Za-z0-9+/]+={0,2}):$/;
const LONGEST_CHAIN = 8;

/** Whether a call carries either header, whatever is in it. */
export function hasClientCertificate(rawHeaders: readonly string[]): boolean {
  return headers(rawHeaders, LEAF).length + headers(rawHeaders, CHAIN).length > 0;
}

/**
 * The certificates of `Client-Cert` and `Client-Cert-Chain`, base64 DER, leaf first.
 * Read from the raw headers, where two of one name stay two: which of them counts would be the sender's to choose.
 * Throws `certificate_malformed`.
 */
export function clientCertificateOf(rawHeaders: readonly string[]): readonly string[] {
  const leaf = headers(rawHeaders, LEAF);
  const chain = headers(rawHeaders, CHAIN);
  if (leaf.length !== 1 || chain.length > 1)
    throw malformed('there must be one Client-Cert, and one chain at most');
  const others = chain.flatMap((text) => text.split(','));
  if (others.length >= LONGEST_CHAIN) throw malformed(`the chain is longer than ${LONGEST_CHAIN}`);
  return [...leaf, ...others].map((item) => {
    const [, base64] = BYTES.exec(item.trim()) ?? [];
    if (base64 === undefined || Buffer.from(base64, 'base64').toString('base64') !== base64) {
      throw malformed('a certificate is not a byte sequence of RFC 8941');
    }
    return base64;
  });
}

function headers(raw: readonly string[], name: string): readonly string[] {
  return raw.filter((_, at) => at % 2 === 1 && raw[at - 1]?.toLowerCase() === name);
}

function malformed(why: string): AtbError {
  return new AtbError('certificate_malformed', `the Client-Cert headers cannot be used: ${why}`);
}
