import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import { signVerdict } from '../../../adapters/jose/verdict-statement';
import type { JsonObject } from '../../../domain/json';
import type { AgentAuthClient } from '../agentauth-client';
import { EXIT } from '../exit';
import type { ExitCode } from '../exit';
import type { Svid } from '../identity';
import type { Surroundings } from '../output';
import { localPolicyData } from '../policy-data';
import { standingInWords } from '../presentation';
import { UsageError } from '../refusal';
import { inSession, requestPath, withCommonOptions } from '../session';
import type { CommonOptions, Session } from '../session';
import { parseStanding } from '../standing';
import type { Standing } from '../standing';
import { signable } from '../to-approve';
import { deliverByTemporal } from '../verdict-signal';
import { verdictInWords } from '../words';
import type { Word } from '../words';

interface Options extends CommonOptions {
  readonly role?: string;
  readonly reason: string;
  readonly attest: readonly string[];
  readonly yes?: boolean;
  readonly via: string;
}

const WORDS: readonly { readonly word: Word; readonly description: string; readonly example: string }[] = [
  {
    word: 'approve',
    description: 'approve a request, after seeing what you sign',
    example: "atb approve KqzVb… --as person/bob --reason 'the invoice is right'",
  },
  {
    word: 'reject',
    description: 'reject a request, after seeing what you sign',
    example: "atb reject KqzVb… --as person/carol --reason 'not in this quarter'",
  },
  {
    word: 'release',
    description: 'give the last word on a critical request, after seeing what you sign',
    example: "atb release KqzVb… --as person/erin --role ciso --reason 'the window is open'",
  },
];

/** `atb approve`, `atb reject`, `atb release`: a verdict, shown in words first, then signed with your own key. */
export function registerVerdicts(program: Command, surroundings: Surroundings): void {
  for (const { word, description, example } of WORDS) {
    withCommonOptions(program.command(word))
      .argument('<request-id>')
      .description(description)
      .option('--role <role>', 'the role in which you speak; needed where you have several that fit')
      .option('--reason <text>', 'why; it is signed with your verdict', '')
      .option('--attest <fact...>', 'facts that you checked yourself and vouch for', [])
      .option('--yes', 'sign without being asked; it is shown all the same')
      .option(
        '--via <way>',
        'http, or temporal: the same statement as a signal, for when AgentAuth takes none',
        'http',
      )
      .addHelpText(
        'after',
        `
What you sign is shown on stderr. At a terminal you are asked; elsewhere --yes is needed.
With --via temporal the codec keys are needed too (ATB_CODEC_KEYS_FILE, or a development stack's).

Example:
  ${example}`,
      )
      .action(async (requestId: string, options: Options) => {
        process.exitCode = await inSession(surroundings, options, (session) =>
          decide(session, word, requestId, options),
        );
      });
  }
}

async function decide(session: Session, word: Word, requestId: string, options: Options): Promise<ExitCode> {
  const path = requestPath(requestId);
  if (options.via !== 'http' && options.via !== 'temporal') throw new UsageError('--via is http or temporal');
  if (options.yes !== true && !session.surroundings.ask) {
    throw new UsageError('there is no terminal to ask at; look at it with "atb show", then say --yes');
  }
  const svid = session.svid();
  const client = session.client(svid);
  const standing = parseStanding((await client.get(path)).body);
  const toSign = signable(standing, requestId);
  const policy = localPolicyData();
  requireAskedFacts(options.attest, standing);
  const role = chooseRole(word, options.role, policy.rolesOf(svid.spiffeId), standing);
  const intent = { word, by: svid.spiffeId, role, reason: options.reason, attests: options.attest };
  session.output.note(verdictInWords(toSign, standing, intent, { now: session.now, policy }));
  if (options.yes !== true && !(await agreed(session))) {
    session.output.answer({ request_id: requestId, signed: false }, '');
    session.output.note('nothing was signed');
    return EXIT.refused;
  }
  const jti = randomBytes(16).toString('base64url');
  const statement = await sign(svid, {
    req: requestId,
    dig: toSign.digest,
    verdict: word,
    role,
    reason: options.reason,
    attests: [...options.attest],
    iat: Math.floor(session.now.getTime() / 1000),
    jti,
  });
  if (options.via === 'temporal')
    return await deliverByTemporal(session, client, { requestId, jti, statement });
  return await deliver(session, client, path, statement);
}

function sign(svid: Svid, claims: Parameters<typeof signVerdict>[2]): Promise<string> {
  return signVerdict(svid.privateKey, svid.chain, claims);
}

async function deliver(
  session: Session,
  client: AgentAuthClient,
  path: string,
  verdict: string,
): Promise<ExitCode> {
  const body: JsonObject = (await client.post(`${path}/verdicts`, { verdict })).body;
  session.output.answer(body, standingInWords(parseStanding(body), session.now));
  return EXIT.done;
}

/** Nobody is to vouch by a slip of the keyboard for what was not asked. */
function requireAskedFacts(attests: readonly string[], { requirement }: Standing): void {
  const unasked = attests.find((fact) => !requirement.attest.includes(fact));
  if (unasked === undefined) return;
  const asked = requirement.attest.length === 0 ? 'nothing' : requirement.attest.join(', ');
  throw new UsageError(`--attest ${unasked}: this request asks to attest ${asked}`);
}

/**
 * The role in which somebody speaks: the one that they say, else the only one of theirs that the request waits for.
 * A reject is also the word of whoever has one role only. Throws `UsageError` where it is not clear.
 */
export function chooseRole(
  word: Word,
  said: string | undefined,
  held: readonly string[],
  { requirement }: Pick<Standing, 'requirement'>,
): string {
  if (said !== undefined) return said;
  const demanded = word === 'release' ? requirement.releaseRoles : requirement.roles;
  const fitting = held.filter((role) => demanded.includes(role));
  const [role, ...others] = fitting.length === 0 && word === 'reject' ? held : fitting;
  if (role !== undefined && others.length === 0) return role;
  if (role === undefined) {
    const roles = demanded.length === 0 ? '' : ` (this needs ${demanded.join(' or ')})`;
    throw new UsageError(`in which role do you speak? --role ROLE${roles}`);
  }
  throw new UsageError(
    `you have several roles that fit; say which: ${fitting.map((name) => `--role ${name}`).join(', ')}`,
  );
}

async function agreed(session: Session): Promise<boolean> {
  const reply = await session.surroundings.ask?.('\nSign this with your key? [y/N] ');
  return /^y(es)?$/i.test((reply ?? '').trim());
}
