import type { IncomingMessage, ServerResponse } from 'node:http';
// The high-level server takes no JSON Schemas: the "advanced use" that this one is for.
/* eslint-disable @typescript-eslint/no-deprecated */
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import {
  CallToolRequestSchema,
  JSONRPCMessageSchema,
  ListToolsRequestSchema,
  UrlElicitationRequiredError,
} from '@modelcontextprotocol/sdk/types.js';
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import { openSignedRequest } from '../../../adapters/jose/signed-request';
import type { RouteTable } from '../../../adapters/connector/route-table';
import { canonicalJson } from '../../../domain/canonical-json';
import { AtbError, isAtbError } from '../../../domain/error';
import { isJsonObject } from '../../../domain/json';
import type { Json, JsonObject } from '../../../domain/json';
import { collectPath, ISSUE_PATH } from '../../../domain/signed-request';
import { parseStrictJson } from '../../../domain/strict-json';
import { problemOf } from '../../problem-details';
import { CollectedAnswer } from '../answer-sink';
import type { CallAccess } from '../access';
import { bodyOf } from '../body';
import { parseCallHeaders, parseCallTarget } from '../call';
import type { Call } from '../call';
import type { Entry } from '../entry';
import { randomId } from '../../../adapters/random-id';
import type { AgentAuthCarrier } from './agentauth';
import { callOfTool, toolsOf } from './tools';
import type { RouteTool } from './tools';

export interface McpParts {
  readonly connectors: Iterable<RouteTable>;
  /** Where agents reach the broker. */
  readonly publicUrl: () => string;
  /** AgentAuth's issuer, which signed requests are for. */
  readonly issuer: string;
  /** Undefined where the broker is told no AgentAuth: agents ask there themselves. */
  readonly agentauth: AgentAuthCarrier | undefined;
  /** Where a person decides about a request, with `{request_id}`; undefined where there is no such page. */
  readonly decideAt: string | undefined;
  /** Throws the 401 codes where nobody is at the other end. */
  readonly requireCaller: (chain: readonly string[]) => string;
  readonly perform: (
    call: Call,
    chain: readonly string[],
    sink: CollectedAnswer,
    access: CallAccess,
  ) => Promise<void>;
  /** Records a refusal that no check recorded. */
  readonly record: (error: AtbError, chain: readonly string[], access: CallAccess) => Promise<void>;
  readonly onDefect: (error: unknown) => void;
}

export const MCP_PATH = '/mcp';
const MAX_MESSAGE_BYTES = 256 * 1024;
const MAX_ANSWER_BYTES = 1024 * 1024;
/** A session is remembered by nobody: its id says the one thing that matters of the client (docs/adr/0021). */
const SESSION = /^(?:url|none)-[A-Za-z0-9_-]{22}$/;
/** What can stand in a URL; nothing is believed of it. */
const HOST = /^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;
const META = 'agent-trust-broker/';
const INSTRUCTIONS =
  'Each tool is one action at an enterprise system. A call without a mandate answers what one takes. Bring, in _meta: ' +
  `"${META}mandate", a mandate; or "${META}request", what the answer said to sign, as a poa-request+jwt signed with the ` +
  'key of your X.509-SVID. Call again in the same way when it was approved.';

/** Who calls, and what the access log will tell of it. */
interface Calling {
  readonly chain: readonly string[];
  readonly access: CallAccess;
  readonly canOpenUrls: boolean;
}

/**
 * The connectors' routes as tools of the Model Context Protocol, over Streamable HTTP. It is one more way in: each call
 * goes through the same checks as everywhere. The broker cannot ask for a mandate in an agent's name: it carries what
 * the agent signed, or a mandate that the agent brings.
 */
export class McpEntry implements Entry {
  private readonly tools: ReadonlyMap<string, RouteTool>;

  constructor(private readonly parts: McpParts) {
    this.tools = toolsOf(parts.connectors);
  }

  readonly serves = (path: string) => path === MCP_PATH;

  async handle(
    request: IncomingMessage,
    response: ServerResponse,
    chain: readonly string[],
    access: CallAccess,
  ): Promise<void> {
    access.entry = MCP_PATH;
    // Nothing is sent unasked, and no session is kept (Streamable HTTP: 405 for GET and DELETE).
    if (request.method !== 'POST') throw new AtbError('method_not_allowed', 'messages come by POST');
    const headers = parseCallHeaders(request.rawHeaders);
    if (headers.has('origin')) throw new AtbError('header_forbidden', 'this is not for pages in a browser');
    const host = headers.get('host') ?? '';
    if (!HOST.test(host) || !URL.canParse(`https://${host}`))
      throw new AtbError('call_malformed', 'a call has one Host (RFC 9112 §3.2)');
    access.known.agent = this.parts.requireCaller(chain);
    const message = parseStrictJson(await bodyOf(request, MAX_MESSAGE_BYTES));
    if (!isJsonObject(message) || !JSONRPCMessageSchema.safeParse(message).success) {
      throw new AtbError('call_malformed', 'there is one message of JSON-RPC 2.0 to a call');
    }
    const session = headers.get('mcp-session-id');
    if (session !== undefined && !SESSION.test(session)) {
      throw new AtbError('not_found', 'there is no such session: begin a new one');
    }
    if (message.method === 'initialize') response.setHeader('mcp-session-id', newSession(message.params));
    const server = this.server({ chain, access, canOpenUrls: session?.startsWith('url-') === true });
    const transport = new StreamableHTTPServerTransport({ enableJsonResponse: true });
    transport.onerror = this.parts.onDefect;
    response.once('close', () => {
      void server.close();
    });
    await server.connect(transport);
    await transport.handleRequest(request, response, message);
  }

  private server(caller: Calling): Server {
    const server = new Server(
      { name: 'agent-trust-broker', version: '1' },
      { capabilities: { tools: {} }, instructions: INSTRUCTIONS },
    );
    server.setRequestHandler(ListToolsRequestSchema, () => ({
      tools: [...this.tools.values()].map(({ name, title, description, inputSchema, readOnly }) => ({
        ...{ name, title, description, annotations: { readOnlyHint: readOnly } },
        inputSchema: { ...inputSchema, required: [...inputSchema.required] },
      })),
    }));
    server.setRequestHandler(CallToolRequestSchema, async ({ params }) => {
      try {
        return await this.call(params, caller);
      } catch (error) {
        if (error instanceof UrlElicitationRequiredError) throw error;
        if (!isAtbError(error)) this.parts.onDefect(error);
        const known = isAtbError(error)
          ? error
          : new AtbError('internal', 'something went wrong on our side');
        caller.access.code = known.code;
        await this.parts.record(known, caller.chain, caller.access);
        return {
          ...resultOf(problemOf(known, caller.access.known.traceId) as unknown as JsonObject),
          isError: true,
        };
      }
    });
    return server;
  }

  private async call(
    { name, arguments: values, _meta: meta }: { name: string; arguments?: unknown; _meta?: unknown },
    caller: Calling,
  ): Promise<CallToolResult> {
    const tool = this.tools.get(name);
    if (!tool) throw new AtbError('route_unknown', 'there is no such tool');
    const given = (values ?? {}) as Json;
    if (!isJsonObject(given)) throw new AtbError('call_malformed', 'the arguments are an object');
    const brought = broughtIn(meta);
    const made = callOfTool(tool, given);
    if (brought.request === undefined) return this.redeem(tool, made, brought, caller);
    const asked = await this.carry(tool, made.params, brought.request);
    const { mandate } = asked.body;
    if (typeof mandate === 'string') return this.redeem(tool, made, { ...brought, mandate }, caller);
    if (asked.isAwaited) return this.awaited(asked, caller.canOpenUrls);
    return { ...resultOf(asked.body), isError: true };
  }

  /** Brings the agent's own request, which must be for this very call, to AgentAuth. */
  private async carry(tool: RouteTool, params: JsonObject, statement: string): Promise<Carried> {
    const { agentauth } = this.parts;
    if (!agentauth)
      throw new AtbError('agentauth_unavailable', 'this broker carries no requests: ask AgentAuth');
    const { claims } = openSignedRequest(statement);
    if (claims.path === ISSUE_PATH) {
      const { act, con } = claims.body;
      const asked = isJsonObject(con) && isJsonObject(con.params) ? con.params : {};
      if (act !== tool.route.action || canonicalJson(asked) !== canonicalJson(params)) {
        throw new AtbError(
          'signed_request_mismatch',
          'the request was signed for something else than this call',
        );
      }
    } else if (!/^\/requests\/[A-Za-z0-9_-]{27,64}\/collect$/.test(claims.path)) {
      throw new AtbError(
        'signed_request_mismatch',
        'only /issue and /requests/<id>/collect are carried from here',
      );
    }
    const { status, body } = await agentauth.carry(claims.path, statement);
    const requestId = typeof body.request_id === 'string' ? body.request_id : claims.path.split('/')[2];
    // Asked again before people decided: what is awaited is still awaited.
    const isAwaited = status < 400 || body.code === 'not_approved' || body.code === 'approval_missing';
    return { body, requestId, isAwaited };
  }

  /** What is awaited, and what to sign to come back for it; by a page to open where there is one and the client can. */
  private awaited({ body, requestId }: Carried, canOpenUrls: boolean): CallToolResult {
    const { decideAt } = this.parts;
    if (canOpenUrls && decideAt !== undefined && requestId !== undefined) {
      throw new UrlElicitationRequiredError(
        [
          {
            mode: 'url',
            elicitationId: requestId,
            url: decideAt.replace('{request_id}', requestId),
            message: 'People must approve this. Open the page to see who is awaited, then call again.',
          },
        ],
        `awaiting approval of request ${requestId}`,
      );
    }
    return resultOf({
      ...body,
      state: body.state ?? 'pending',
      ...(requestId !== undefined && {
        sign: { aud: this.parts.issuer, method: 'POST', path: collectPath(requestId), body: {} },
      }),
    });
  }

  private async redeem(
    tool: RouteTool,
    made: ReturnType<typeof callOfTool>,
    { mandate, dpop }: Brought,
    { chain, access }: Calling,
  ): Promise<CallToolResult> {
    const { connector, route } = tool;
    const target = parseCallTarget(`/c/${connector.id}${made.target}`);
    const headers = parseCallHeaders([
      ...Object.entries(made.headers).flat(),
      ...(route.body === 'json' ? ['content-type', 'application/json'] : []),
      ...(mandate === undefined ? [] : ['authorization', `PoA ${mandate}`]),
      ...(dpop === undefined ? [] : ['dpop', dpop]),
    ]);
    const call: Call = {
      connector: connector.id,
      method: route.method,
      path: target.path,
      query: target.query,
      search: target.search,
      headers,
      addressed: { method: 'POST', url: `${this.parts.publicUrl()}${MCP_PATH}` },
      body: (limitBytes) => {
        if (made.body.length > limitBytes) throw new AtbError('body_too_large', 'the arguments are too much');
        return Promise.resolve(made.body);
      },
    };
    const answer = new CollectedAnswer(MAX_ANSWER_BYTES);
    try {
      await this.parts.perform(call, chain, answer, access);
    } catch (error) {
      if (isAtbError(error) && error.code === 'mandate_missing') {
        access.code = error.code;
        return this.wanted(tool, made.params, error);
      }
      throw error;
    }
    const text = answer.body.toString('utf8');
    return {
      content: [{ type: 'text', text }],
      structuredContent: { state: 'done', status: answer.status, body: parsed(text, answer) },
      isError: answer.status >= 400,
    };
  }

  /** What a mandate for this call would be asked with. */
  private wanted({ route }: RouteTool, params: JsonObject, { code, reasons }: AtbError): CallToolResult {
    return resultOf({
      ...{ state: 'mandate_missing', code, reasons: [...reasons] },
      ...(this.parts.agentauth && { agentauth: this.parts.agentauth.url }),
      sign: {
        ...{ aud: this.parts.issuer, method: 'POST', path: ISSUE_PATH },
        body: { act: route.action, con: { params } },
      },
      next:
        'Complete sign.body with leg and justification, add iat and jti, sign it as a poa-request+jwt, and call again ' +
        `with it as _meta["${META}request"].`,
    });
  }
}

/** What AgentAuth said to a request that was carried to it. */
interface Carried {
  readonly body: JsonObject;
  readonly requestId: string | undefined;
  /** Whether people are awaited; else it was refused. */
  readonly isAwaited: boolean;
}

interface Brought {
  readonly mandate?: string;
  readonly dpop?: string;
  readonly request?: string;
}

function broughtIn(meta: unknown): Brought {
  const text = (name: string): string | undefined => {
    const value: unknown = isJsonObject(meta) ? meta[`${META}${name}`] : undefined;
    if (value === undefined || typeof value === 'string') return value;
    throw new AtbError('call_malformed', `_meta ${META}${name} must be a text`);
  };
  const [mandate, dpop, request] = [text('mandate'), text('dpop'), text('request')];
  if (mandate !== undefined && request !== undefined) {
    throw new AtbError('credentials_ambiguous', 'bring a mandate or a signed request, not both');
  }
  return {
    ...(mandate !== undefined && { mandate }),
    ...(dpop !== undefined && { dpop }),
    ...(request !== undefined && { request }),
  };
}

function resultOf(told: JsonObject): CallToolResult {
  return { content: [{ type: 'text', text: JSON.stringify(told) }], structuredContent: { ...told } };
}

function parsed(text: string, { headers }: CollectedAnswer): Json {
  if (!/^application\/(?:json|[a-z0-9.-]+\+json)/i.test(String(headers['content-type'] ?? ''))) return text;
  try {
    return parseStrictJson(text);
  } catch {
    // What is none, too deep to be written again, or would be changed by that is handed on as the text that it is.
    return text;
  }
}

function newSession(params: Json | undefined): string {
  const capabilities = isJsonObject(params) ? params.capabilities : undefined;
  const elicitation = isJsonObject(capabilities) ? capabilities.elicitation : undefined;
  const canOpenUrls = isJsonObject(elicitation) && isJsonObject(elicitation.url);
  return `${canOpenUrls ? 'url' : 'none'}-${randomId('base64url')}`;
}
