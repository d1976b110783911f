import type { IncomingMessage, ServerResponse } from 'node:http';
import { AtbError } from '../../../domain/error';
import type { CallAccess } from '../access';
import { bodyOf } from '../body';
import { parseCallHeaders } from '../call';
import type { Entry } from '../entry';
import type { Redemptions } from '../redemption';
import { callOfGateway, chainOfEncodedPem, NOT_FOR_UPSTREAM } from './gateway';
import type { Gateways } from './gateway';

const PREFIX = '/ext_authz/';
const TARGET = /^\/ext_authz\/([a-z0-9-]+)(\/.*)$/;
/** One hop's element: what comes after a comma would be another's (Envoy, "x-forwarded-client-cert"). */
const XFCC_PART = /(?:^|;)(Cert|Chain)="([^"]*)"/g;

/**
 * Envoy's external authorization over HTTP: the call as it came, below `/ext_authz/<connector>` (path_prefix), with the
 * agent's certificate in `x-forwarded-client-cert`. 200 is yes, once: the mandate is used then. Anything else is no.
 */
export class HttpExtAuthz implements Entry {
  constructor(
    private readonly gateways: Gateways,
    private readonly redemptions: Pick<Redemptions, 'permit'>,
  ) {}

  readonly serves = (path: string) => path.startsWith(PREFIX);

  async handle(
    request: IncomingMessage,
    response: ServerResponse,
    chain: readonly string[],
    access: CallAccess,
  ): Promise<void> {
    access.entry = '/ext_authz';
    this.gateways.require(chain);
    const [, connector = '', target = ''] = TARGET.exec(request.url ?? '') ?? [];
    if (connector === '')
      throw new AtbError('not_found', 'calls are asked about at /ext_authz/<connector>/<path>');
    const headers = parseCallHeaders(request.rawHeaders);
    if (headers.get('x-envoy-auth-partial-body') === 'true') {
      throw new AtbError(
        'body_too_large',
        'the gateway sent a part of the body: allow_partial_message must be false',
      );
    }
    const call = callOfGateway({
      connector,
      method: request.method ?? '',
      target,
      headers: request.rawHeaders,
      url: `https://${headers.get('host') ?? ''}${target.split('?')[0] ?? ''}`,
      body: (limitBytes) => bodyOf(request, limitBytes),
    });
    await this.redemptions.permit(call, agentChain(headers.get('x-forwarded-client-cert')), access.known);
    response.writeHead(200, {
      'x-envoy-auth-headers-to-remove': NOT_FOR_UPSTREAM.join(','),
      'content-length': 0,
    });
    response.end();
  }
}

/** Empty where the gateway saw none. Throws `certificate_malformed`. */
function agentChain(header: string | undefined): readonly string[] {
  if (header === undefined || header === '') return [];
  const outside = header.replace(/"[^"]*"/g, '""');
  if (outside.includes(',')) {
    throw new AtbError(
      'certificate_malformed',
      'more than one hop says whose certificate it saw: SANITIZE_SET it',
    );
  }
  const named = [...header.matchAll(XFCC_PART)].map(([, name = '', value = '']) => [name, value] as const);
  const parts = new Map(named);
  // Envoy writes a URI as it stands in the certificate, where a second one could be hidden.
  if (parts.size < named.length) {
    throw new AtbError('certificate_malformed', 'x-forwarded-client-cert must have Cert and Chain once each');
  }
  const encoded = parts.get('Chain') ?? parts.get('Cert');
  if (encoded === undefined) {
    throw new AtbError('certificate_malformed', 'x-forwarded-client-cert must have Cert or Chain');
  }
  return chainOfEncodedPem(encoded);
}
