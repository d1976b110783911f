import type { Command } from 'commander';
import { isJsonObject } from '../../../domain/json';
import type { Json, JsonObject } from '../../../domain/json';
import { ISSUE_PATH } from '../../../domain/signed-request';
import { parseStrictJson } from '../../../domain/strict-json';
import { refusal } from '../agentauth-client';
import type { AgentAuthClient, RawReply } from '../agentauth-client';
import { EXIT } from '../exit';
import type { ExitCode } from '../exit';
import { trustDomainOf } from '../identity';
import type { Svid } from '../identity';
import type { Surroundings } from '../output';
import { contentOf, requestBody, withGroundOptions } from '../request-body';
import type { RequestOptions } from '../request-body';
import { UsageError } from '../refusal';
import { inSession, requestPath, withCommonOptions } from '../session';
import type { CommonOptions, Session } from '../session';
import { parseStanding } from '../standing';
import type { Standing } from '../standing';
import { awaitDecision } from '../waiting';
import { wholeNumber } from '../whole-number';
import { planInWords } from './plan';
import { answer, collect, underKey, WAIT_SECONDS } from './request';

interface Options extends Omit<RequestOptions, 'param' | 'file'>, CommonOptions {
  readonly data?: string;
  readonly request?: string;
  readonly wait: number;
  readonly idempotencyKey?: string;
}

/** A call through the broker, ready to be sent. */
interface Call {
  readonly method: string;
  readonly path: string;
  readonly body?: string;
  readonly headers: Readonly<Record<string, string>>;
}

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];
const LONGEST_JSON = { maxDepth: 64 };

/** `atb call`: an action, from the question whether it may be to its answer. */
export function registerCall(program: Command, surroundings: Surroundings): void {
  withCommonOptions(withGroundOptions(program.command('call')))
    .argument('<connector>', 'the system, by the name of its connector')
    .argument('<method>', METHODS.join(', '))
    .argument('<path>', 'below the connector, with its query: /contacts/C-42')
    .description('do something: plan, request, wait for people, collect, redeem')
    .option('--data <json>', 'the body; @FILE reads it from a file, - from stdin')
    .option('--request <request-id>', 'go on with this request, rather than asking anew')
    .option(
      '--wait <seconds>',
      `wait for people that long (${WAIT_SECONDS} unless told)`,
      wholeNumber,
      WAIT_SECONDS,
    )
    .option('--idempotency-key <key>', 'for the request, and for the system behind where it takes one')
    .option('--broker-url <url>', 'where the broker is (ATB_BROKER_URL)')
    .option('--broker-id <spiffe-id>', 'the SPIFFE ID that the broker must have (ATB_BROKER_ID)')
    .addHelpText(
      'after',
      `
What a mandate must be for is the broker's to say. Progress goes to stderr, the answer of the system behind to stdout.
Exits with 0 when it answered well, 1 when somebody refused or it answered 400 or more, 2 when people did not decide in
time (go on with --request), 69 when something cannot be reached.

Examples:
  atb call crm GET /contacts/C-42 --as agent/crm-assistant --leg-file leg.json
  atb call erp POST /payments --data '{"amount":1250,"vendor_id":"V-1"}' --as agent/finance-bot --leg-file leg.json`,
    )
    .action(async (connector: string, method: string, path: string, options: Options) => {
      process.exitCode = await inSession(surroundings, options, async (session) =>
        make(session, await callOf(session, connector, method, path, options), options),
      );
    });
}

async function make(session: Session, call: Call, options: Options): Promise<ExitCode> {
  const svid = session.svid();
  const broker = session.broker(svid);
  const agentauth = session.client(svid);
  let standing: Standing;
  if (options.request === undefined) {
    const first = await send(broker, call);
    const needed = neededBy(first);
    if (!needed) return told(session, first, null);
    standing = await ask(session, agentauth, svid, needed, options);
  } else {
    standing = parseStanding((await agentauth.get(requestPath(options.request))).body);
  }
  const decided = await awaitDecision(session, agentauth, standing, options.wait);
  if (decided.state === 'pending') {
    session.output.note(
      `nobody decided in ${options.wait} s; go on with the same command and --request ${decided.requestId}`,
    );
    return EXIT.timedOut;
  }
  if (decided.state !== 'approved' && decided.state !== 'issued') return answer(session, decided);
  const issued =
    decided.mandate === undefined
      ? parseStanding((await collect(session, agentauth, decided.requestId)).body)
      : decided;
  session.output.note(`mandate ${issued.jti ?? ''}: redeeming it`);
  return told(session, await send(broker, call, issued.mandate), issued);
}

/** Asks for a mandate for what the broker said that the call needs. */
async function ask(
  session: Session,
  agentauth: AgentAuthClient,
  svid: Svid,
  needed: { readonly act: string; readonly params: JsonObject },
  options: Options,
): Promise<Standing> {
  const { input } = session.surroundings;
  const ground = await requestBody(
    needed.act,
    { ...options, param: [] },
    trustDomainOf(svid.spiffeId),
    input,
  );
  const limits = isJsonObject(ground.con) ? ground.con.limits : undefined;
  const body = { ...ground, con: { params: needed.params, ...(limits !== undefined && { limits }) } };
  session.output.note(`this is ${needed.act}`);
  const { body: plan } = await agentauth.post('/plan', body);
  session.output.note(planInWords(plan));
  const standing = await underKey(session, options.idempotencyKey, async (headers) =>
    agentauth.postSigned(ISSUE_PATH, await session.signed(svid, ISSUE_PATH, body), headers),
  );
  session.output.note(`asked: request ${standing.requestId}`);
  return standing;
}

function send(broker: AgentAuthClient, { method, path, body, headers }: Call, mandate?: string) {
  return broker.call(method, path, {
    headers: { ...headers, ...(mandate !== undefined && { authorization: `PoA ${mandate}` }) },
    ...(body !== undefined && { body }),
  });
}

/** The answer of the system behind. Throws `Refusal` where it is the broker's. */
function told(session: Session, { status, headers, text }: RawReply, mandate: Standing | null): ExitCode {
  const body = bodyOf(text);
  if (
    status >= 400 &&
    isJsonObject(body) &&
    typeof body.code === 'string' &&
    body.type === `urn:atb:problem:${body.code}`
  ) {
    throw refusal(status, headers, body);
  }
  const document: JsonObject = {
    state: mandate ? 'redeemed' : 'done without a mandate',
    ...(mandate && { request_id: mandate.requestId, tier: mandate.tier ?? null, jti: mandate.jti ?? null }),
    ...{ status, body },
  };
  session.output.note(`the system behind answered ${status}`);
  session.output.answer(document, text);
  return status < 400 ? EXIT.done : EXIT.refused;
}

/** What the broker says that a mandate for the call has to name; undefined where it says something else. */
function neededBy({
  status,
  text,
}: RawReply): { readonly act: string; readonly params: JsonObject } | undefined {
  const problem = status === 401 ? bodyOf(text) : null;
  if (!isJsonObject(problem) || problem.code !== 'mandate_missing' || !isJsonObject(problem.needed)) {
    return undefined;
  }
  const { act, con } = problem.needed;
  const params = isJsonObject(con) ? con.params : undefined;
  return typeof act === 'string' && isJsonObject(params) ? { act, params } : undefined;
}

function bodyOf(text: string): Json {
  if (text === '') return null;
  try {
    return parseStrictJson(text, LONGEST_JSON);
  } catch {
    return text;
  }
}

async function callOf(
  session: Session,
  connector: string,
  method: string,
  path: string,
  options: Options,
): Promise<Call> {
  if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(connector))
    throw new UsageError('that is not the name of a connector');
  if (!METHODS.includes(method)) throw new UsageError(`the method is one of ${METHODS.join(', ')}`);
  if (!/^\/[\x21-\x7e]+$/.test(path)) throw new UsageError('the path begins with /, and has no blanks');
  const { data, idempotencyKey } = options;
  const body =
    data === undefined || !/^(@|-$)/.test(data)
      ? data
      : await contentOf(data.replace(/^@/, ''), session.surroundings.input);
  return {
    method,
    path: `/c/${connector}${path}`,
    headers: {
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...(idempotencyKey !== undefined && { 'idempotency-key': idempotencyKey }),
    },
    ...(body !== undefined && { body }),
  };
}
