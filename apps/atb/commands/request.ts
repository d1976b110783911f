import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import { collectPath, ISSUE_PATH } from '../../../domain/signed-request';
import type { AgentAuthClient, Reply } from '../agentauth-client';
import { EXIT } from '../exit';
import type { ExitCode } from '../exit';
import { trustDomainOf } from '../identity';
import type { Surroundings } from '../output';
import { standingInWords } from '../presentation';
import { Refusal, Unreachable } from '../refusal';
import { requestBody, withRequestOptions } from '../request-body';
import type { RequestOptions } from '../request-body';
import { inSession, requestPath, withCommonOptions } from '../session';
import type { CommonOptions, Session } from '../session';
import { parseStanding } from '../standing';
import type { Standing } from '../standing';
import { awaitDecision } from '../waiting';
import { wholeNumber } from '../whole-number';

interface Options extends RequestOptions, CommonOptions {
  readonly wait?: number | true;
  readonly idempotencyKey?: string;
  readonly quiet?: boolean;
  /** Commander's negatable option: false after --no-sign. */
  readonly sign?: boolean;
}

export const WAIT_SECONDS = 600;

/** `atb request`: ask for a mandate. */
export function registerRequest(program: Command, surroundings: Surroundings): void {
  withCommonOptions(withRequestOptions(program.command('request')))
    .argument('[action]', "the action's name in the catalogue")
    .description('ask for a mandate')
    .option('--wait [seconds]', `wait for people (${WAIT_SECONDS} s unless told), then collect`, wholeNumber)
    .option(
      '--idempotency-key <key>',
      'asking again with the same key and body is the same request (one is made up unless told)',
    )
    .option('--quiet', "print only the request's id; with --wait only the mandate")
    .option('--no-sign', 'ask without signing the request with your own key (policy may refuse that)')
    .addHelpText(
      'after',
      `
A value of --param is a string with =, and JSON with :=  (amount=5 is "5", amount:=5 is 5).
Exits with 0 when asked (or issued), 1 when refused or rejected, 2 when --wait ended before people decided.

Examples:
  atb request crm.contact.read --as agent/crm-assistant --param contact_id=C-42 --leg-file leg.json
  atb request erp.order.create --as agent/finance-bot --param order_id=SO-7 \\
      --jurisdiction EU --accountable employee:emp-100 --basis CONTRACT --ref MSA-12345 --wait 900
  atb request security.master_key.rotate --as agent/explorer --param key_id=mk-1 --ticket CHG-1001 \\
      --leg-file leg.json`,
    )
    .action(async (action: string | undefined, options: Options) => {
      process.exitCode = await inSession(surroundings, options, (session) => ask(session, action, options));
    });
}

async function ask(session: Session, action: string | undefined, options: Options): Promise<ExitCode> {
  const svid = session.svid();
  const { input } = session.surroundings;
  const body = await requestBody(action, options, trustDomainOf(svid.spiffeId), input);
  const client = session.client(svid);
  const asked = await underKey(session, options.idempotencyKey, async (headers) =>
    options.sign === false
      ? client.post(ISSUE_PATH, body, headers)
      : client.postSigned(ISSUE_PATH, await session.signed(svid, ISSUE_PATH, body), headers),
  );
  if (options.wait === undefined || asked.state === 'issued') {
    return answer(session, asked, options.quiet === true && (options.wait === undefined ? 'id' : 'mandate'));
  }
  session.output.note(`asked: request ${asked.requestId}`);
  const seconds = options.wait === true ? WAIT_SECONDS : options.wait;
  return collectWhenDecided(session, client, asked, seconds, options.quiet === true);
}

/** Asks under a key, one of its own where none is told: who does not learn what came of it can ask the same again. */
export async function underKey(
  { output }: Session,
  told: string | undefined,
  post: (headers: Record<string, string>) => Promise<Reply>,
): Promise<Standing> {
  const key = told ?? randomUUID();
  try {
    return parseStanding((await post({ 'idempotency-key': key })).body);
  } catch (error) {
    if (error instanceof Unreachable || (error instanceof Refusal && error.status >= 500)) {
      output.note(`perhaps it was asked all the same; the same, once: add --idempotency-key ${key}`);
    }
    throw error;
  }
}

/** Waits, and collects what was approved. */
export async function collectWhenDecided(
  session: Session,
  client: AgentAuthClient,
  asked: Standing,
  seconds: number,
  quiet: boolean,
): Promise<ExitCode> {
  const decided = await awaitDecision(session, client, asked, seconds);
  if (decided.state === 'pending') {
    session.output.answer(decided.document, quiet ? '' : standingInWords(decided, session.now));
    session.output.note(`nobody decided in ${seconds} s; go on with: atb collect ${asked.requestId} --wait`);
    return EXIT.timedOut;
  }
  if (decided.state !== 'approved' && decided.state !== 'issued') {
    return answer(session, decided, quiet && 'mandate');
  }
  const { body } = await collect(session, client, asked.requestId);
  return answer(session, parseStanding(body), quiet && 'mandate');
}

/** Takes the mandate, over our own signature. */
export async function collect(session: Session, client: AgentAuthClient, requestId: string): Promise<Reply> {
  requestPath(requestId);
  const path = collectPath(requestId);
  return client.postSigned(path, await session.signed(session.svid(), path));
}

/** Says where a request stands; a request that ended without a mandate is a refusal. */
export function answer(
  session: Session,
  standing: Standing,
  only: 'id' | 'mandate' | false = false,
): ExitCode {
  const short = { id: standing.requestId, mandate: standing.mandate ?? '' };
  session.output.answer(
    standing.document,
    only === false ? standingInWords(standing, session.now) : short[only],
  );
  return ['pending', 'approved', 'issued'].includes(standing.state) ? EXIT.done : EXIT.refused;
}
