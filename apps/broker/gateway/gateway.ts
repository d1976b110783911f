import { parsePemCertificates } from '../../../adapters/spiffe';
import { AtbError } from '../../../domain/error';
import { CALL_METHODS, parseCallHeaders, parseCallTarget } from '../call';
import type { Call } from '../call';
import { refuseConnectionTricks } from '../headers';

/** A call as a gateway saw it. */
export interface SeenByGateway {
  readonly connector: string;
  readonly method: string;
  /** Below the connector, with its query, as it was sent. */
  readonly target: string;
  /** Name, value, name, value … */
  readonly headers: readonly string[];
  /** Where the agent sent it, without the query: what a DPoP proof is over. */
  readonly url: string;
  readonly body: (limitBytes: number) => Promise<Uint8Array>;
}

/** What no system behind may see (attack 31): the gateway takes these away where the decision is yes. */
export const NOT_FOR_UPSTREAM = ['authorization', 'dpop', 'x-forwarded-client-cert'] as const;

const PEM_LENGTH = 64 * 1024;

/** Other people's gateways: they end TLS, do the call, and ask whether it may be made. */
export class Gateways {
  constructor(
    /** SPIFFE IDs of the gateways, letter by letter. */
    private readonly trusted: ReadonlySet<string>,
    private readonly callerOf: (chain: readonly string[]) => string,
  ) {}

  /** Whoever asks is a gateway of ours. Throws `proxy_not_trusted` and the 401 codes. */
  require(chain: readonly string[]): void {
    if (this.trusted.has(this.callerOf(chain))) return;
    throw new AtbError(
      'proxy_not_trusted',
      'only a gateway whose SPIFFE ID is in ATB_TRUSTED_PROXIES may ask about the calls of others',
    );
  }
}

/** The certificates that an agent showed to a gateway, PEM, leaf first; base64 DER. Throws `certificate_malformed`. */
export function chainOfPem(pem: string): readonly string[] {
  try {
    if (pem.length > PEM_LENGTH) throw new Error('it is too long');
    return parsePemCertificates(pem).map((der) => Buffer.from(der).toString('base64'));
  } catch (cause) {
    throw new AtbError('certificate_malformed', 'what the gateway says of the certificate is no PEM', {
      cause,
    });
  }
}

/** Percent-encoded PEM, as Envoy writes it. Throws `certificate_malformed`. */
export function chainOfEncodedPem(encoded: string): readonly string[] {
  let pem: string;
  try {
    pem = decodeURIComponent(encoded);
  } catch (cause) {
    throw new AtbError('certificate_malformed', 'the percent-encoding of the certificate is none', { cause });
  }
  return chainOfPem(pem);
}

/** Under the same rules as a call that comes here itself. Throws what makes it none. */
export function callOfGateway({ connector, method, target, headers, url, body }: SeenByGateway): Call {
  if (!CALL_METHODS.has(method)) throw new AtbError('method_not_allowed', 'this method is not for here');
  const parsed = parseCallTarget(`/c/${connector}${target}`);
  if (parsed.connector !== connector)
    throw new AtbError('target_malformed', 'the connector is no name of one');
  const named = parseCallHeaders(headers);
  refuseConnectionTricks(named);
  return {
    connector,
    method,
    path: parsed.path,
    query: parsed.query,
    search: parsed.search,
    headers: named,
    addressed: { method, url },
    answeredElsewhere: true,
    body,
  };
}
