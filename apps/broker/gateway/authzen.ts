import type { IncomingMessage, ServerResponse } from 'node:http';
import { AtbError, isAtbError, isRetryable } from '../../../domain/error';
import { isJsonObject } from '../../../domain/json';
import type { Json, JsonObject } from '../../../domain/json';
import { parseStrictJson } from '../../../domain/strict-json';
import { problemOf } from '../../problem-details';
import type { CallAccess } from '../access';
import { bodyOf } from '../body';
import { parseCallHeaders } from '../call';
import type { Entry } from '../entry';
import type { Redemptions } from '../redemption';
import { callOfGateway, chainOfPem } from './gateway';
import type { Gateways } from './gateway';

const PATH = '/access/v1/evaluation';
const METADATA_PATH = '/.well-known/authzen-configuration';
const MAX_BYTES = 1024 * 1024;
const REQUEST_ID = /^[\x21-\x7e]{1,128}$/;

export interface AuthzenParts {
  readonly gateways: Gateways;
  readonly redemptions: Pick<Redemptions, 'permit' | 'assess' | 'caller' | 'recordUnreadable'>;
  readonly publicUrl: () => string;
}

/**
 * The Access Evaluation API (OpenID AuthZEN Authorization API 1.0, §6): may this agent make this call now? The agent
 * asks for itself, or a trusted gateway does for it. A yes uses the mandate, unless `context.dry_run` says that it is
 * only asked. A no is an answer, and not an error.
 */
export class AuthzenEntry implements Entry {
  constructor(private readonly parts: AuthzenParts) {}

  readonly serves = (path: string) => path === PATH || path === METADATA_PATH;

  async handle(
    request: IncomingMessage,
    response: ServerResponse,
    chain: readonly string[],
    access: CallAccess,
  ): Promise<void> {
    access.entry = PATH;
    const headers = parseCallHeaders(request.rawHeaders);
    const requestId = headers.get('x-request-id');
    if (requestId !== undefined && REQUEST_ID.test(requestId)) response.setHeader('x-request-id', requestId);
    if (request.url === METADATA_PATH) {
      const publicUrl = this.parts.publicUrl();
      send(response, { policy_decision_point: publicUrl, access_evaluation_endpoint: `${publicUrl}${PATH}` });
      return;
    }
    if (request.method !== 'POST')
      throw new AtbError('method_not_allowed', 'evaluations are asked for by POST');
    // Nothing is read for somebody who is nobody.
    access.known.agent = this.parts.redemptions.caller(chain);
    const asked = parseStrictJson(await bodyOf(request, MAX_BYTES));
    const question = questionOf(asked);
    const agentChain = this.agentChain(question, chain);
    try {
      await this.evaluate(question, agentChain, access);
      send(response, { decision: true });
    } catch (error) {
      // What cannot be decided now is no decision.
      if (!isAtbError(error) || isRetryable(error.code) || error.code === 'internal') throw error;
      access.code = error.code;
      await this.parts.redemptions.recordUnreadable(error, chain, access.known);
      send(response, {
        decision: false,
        context: problemOf(error, access.known.traceId) as unknown as JsonObject,
      });
    }
  }

  /** The agent's own connection, or what a gateway says of the certificate that it saw. */
  private agentChain({ subject, certificate }: Question, chain: readonly string[]): readonly string[] {
    if (this.parts.redemptions.caller(chain) === subject && certificate === undefined) return chain;
    this.parts.gateways.require(chain);
    const seen = certificate === undefined ? [] : chainOfPem(certificate);
    if (seen.length > 0 && this.parts.redemptions.caller(seen) !== subject) {
      throw new AtbError('agent_mismatch', 'the certificate is not the one of the subject');
    }
    return seen;
  }

  private async evaluate(question: Question, chain: readonly string[], { known }: CallAccess): Promise<void> {
    const { subject, action, connector, method, target, headers, url, body, isDryRun } = question;
    const call = callOfGateway({
      ...{ connector, method, target, headers, url },
      body: (limitBytes) => {
        if (body.length > limitBytes)
          throw new AtbError('body_too_large', 'the body is larger than is taken here');
        return Promise.resolve(body);
      },
    });
    const { redemptions } = this.parts;
    const expected = { subject, action };
    await (isDryRun
      ? redemptions.assess({ ...call, expected }, chain, known)
      : redemptions.permit({ ...call, expected }, chain, known));
  }
}

interface Question {
  readonly subject: string;
  /** PEM, where a gateway saw it. */
  readonly certificate: string | undefined;
  readonly action: string;
  readonly connector: string;
  readonly method: string;
  readonly target: string;
  readonly url: string;
  readonly headers: readonly string[];
  readonly body: Uint8Array;
  readonly isDryRun: boolean;
}

/** Throws `invalid_request` for what is not of AuthZEN's form, or lacks what this needs. */
function questionOf(asked: Json): Question {
  const { subject, action, resource, context = {} } = object(asked, '');
  const who = object(subject, 'subject');
  const what = object(resource, 'resource');
  const call = object(what.properties, 'resource.properties');
  if (who.type !== 'agent') throw invalid('subject.type must be "agent"');
  if (what.type !== 'connector') throw invalid('resource.type must be "connector"');
  const { mandate, dpop, dry_run: isDryRun = false } = object(context, 'context');
  if (typeof isDryRun !== 'boolean') throw invalid('context.dry_run must be a boolean');
  const certificate = object(who.properties ?? {}, 'subject.properties').certificate;
  const headers = Object.entries(object(call.headers ?? {}, 'resource.properties.headers'));
  const has = (wanted: string) => headers.some(([name]) => name.toLowerCase() === wanted);
  if (has('authorization')) throw invalid('the mandate goes to context.mandate');
  const hasBody = call.body !== undefined;
  return {
    subject: text(who.id, 'subject.id'),
    certificate: certificate === undefined ? undefined : text(certificate, 'subject.properties.certificate'),
    action: text(object(action, 'action').name, 'action.name'),
    connector: text(what.id, 'resource.id'),
    method: text(call.method, 'resource.properties.method'),
    target: text(call.path, 'resource.properties.path'),
    url: call.url === undefined ? '' : text(call.url, 'resource.properties.url'),
    headers: [
      ...headers.flatMap(([name, value]) => [name, text(value, 'resource.properties.headers')]),
      ...(mandate === undefined ? [] : ['authorization', `PoA ${text(mandate, 'context.mandate')}`]),
      ...(dpop === undefined ? [] : ['dpop', text(dpop, 'context.dpop')]),
      ...(hasBody && !has('content-type') ? ['content-type', 'application/json'] : []),
    ],
    body: hasBody ? Buffer.from(JSON.stringify(call.body)) : Buffer.alloc(0),
    isDryRun,
  };
}

function object(value: Json | undefined, name: string): JsonObject {
  if (isJsonObject(value)) return value;
  throw invalid(`${name === '' ? 'the body' : name} must be an object`);
}

function text(value: Json | undefined, name: string): string {
  if (typeof value === 'string' && value !== '') return value;
  throw invalid(`${name} must be a text`);
}

function invalid(why: string): AtbError {
  return new AtbError('invalid_request', `this is no evaluation that can be answered: ${why}`);
}

function send(response: ServerResponse, told: JsonObject): void {
  const body = JSON.stringify(told);
  response.writeHead(200, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
  });
  response.end(body);
}
