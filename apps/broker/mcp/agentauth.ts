import { Agent, request } from 'undici';
import { AtbError } from '../../../domain/error';
import { isJsonObject } from '../../../domain/json';
import type { JsonObject } from '../../../domain/json';
import { SIGNED_REQUEST_MEDIA_TYPE } from '../../../domain/signed-request';
import { clientSpan } from '../../../adapters/tracing/client-span';
import { traceHeaders } from '../../../adapters/tracing/span';
import type { OwnIdentity } from '../../../adapters/spiffe';

export interface AgentAuthAnswer {
  readonly status: number;
  readonly body: JsonObject;
}

const TIMEOUT_MS = 15_000;
// What is between the slashes of /requests/<id>/collect.
const REQUEST_ID = /(?<=^\/requests\/)[^/]+/;
const MAX_BYTES = 1024 * 1024;

/**
 * Carries requests that agents signed to AgentAuth, over the broker's own SVID. It can carry, and not ask: what counts
 * there is the agent's signature over the very request, once. Throws `agentauth_unavailable`.
 */
export class AgentAuthCarrier {
  private agent: Agent | undefined;

  constructor(
    readonly url: string,
    private readonly ca: string,
    private readonly identity: OwnIdentity,
  ) {
    identity.onChange(() => {
      const before = this.agent;
      this.agent = undefined;
      void before?.close();
    });
  }

  async carry(path: string, statement: string): Promise<AgentAuthAnswer> {
    const { svid } = this.identity;
    this.agent ??= new Agent({
      connect: { ca: this.ca, cert: svid.certificatePem, key: svid.privateKeyPem, minVersion: 'TLSv1.2' },
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: TIMEOUT_MS,
      maxResponseSize: MAX_BYTES,
    });
    try {
      const { agent } = this;
      const answer = await clientSpan(
        { method: 'POST', url: new URL(this.url), template: path.replace(REQUEST_ID, '{id}') },
        ({ statusCode }) => statusCode,
        () =>
          request(new URL(path, this.url), {
            method: 'POST',
            headers: { 'content-type': SIGNED_REQUEST_MEDIA_TYPE, ...traceHeaders() },
            body: statement,
            dispatcher: agent,
          }),
      );
      const body: unknown = await answer.body.json();
      if (!isJsonObject(body)) throw new Error('the answer is no object');
      return { status: answer.statusCode, body };
    } catch (cause) {
      throw new AtbError('agentauth_unavailable', 'AgentAuth cannot be reached', { cause });
    }
  }

  async close(): Promise<void> {
    await this.agent?.close();
  }
}
