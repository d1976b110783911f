import type { Command } from 'commander';
import { isAtbError } from '../../../domain/error';
import type { Json, JsonObject } from '../../../domain/json';
import type { Proposed } from '../../../domain/proposal';
import { requireContent } from '../../../domain/proposal-content';
import { parseJson } from '../assignment';
import { trustDomainOf } from '../identity';
import type { Surroundings } from '../output';
import { proposalsOf, propose, signOff, standingInWords } from '../proposal';
import type { SignOffOptions } from '../proposal';
import { UsageError } from '../refusal';
import { contentOf } from '../request-body';
import { inSession, withCommonOptions } from '../session';
import type { CommonOptions, Session } from '../session';
import type { SigningOptions } from '../signed-word';
import { wholeNumber } from '../whole-number';
import { listedJson, proposalsInWords, withRequestOptions, withSigningOptions } from './proposals';

const KINDS = ['probe', 'suspension_lift'];

interface ScheduleOptions extends SigningOptions {
  readonly name: string;
  readonly agent: string;
  readonly after?: number;
  readonly every?: number;
}

/** `atb probe`: decoys among the requests, by which Security sees who approves without reading. */
export function registerProbes(program: Command, surroundings: Surroundings): void {
  const probe = program
    .command('probe')
    .description('decoys that tell who approves without reading: schedule, agree, lift');

  withRequestOptions(withCommonOptions(probe.command('schedule')))
    .argument('<file...>', 'what each seems to ask for: the body of POST /issue; "-" for stdin')
    .description('order decoys, which begin once a security lead agrees; nothing is ever issued for one')
    .requiredOption('--name <name>', 'what the order is called among Security')
    .requiredOption('--agent <spiffe-id>', 'the agent that seems to ask; agent/NAME will do')
    .option('--after <seconds>', 'how long after the agreement the first begins', wholeNumber)
    .option('--every <seconds>', 'each other begins at a random moment of its own such period', wholeNumber)
    .addHelpText(
      'after',
      `
Write what whoever reads it would refuse. Probes are off until policy says otherwise (probes.json).

Example:
  atb probe schedule to-a-stranger.json no-order.json --name autumn --agent agent/finance-bot \\
    --every 604800 --reason 'the yearly drill' --as person/carol`,
    )
    .action(async (files: readonly string[], options: ScheduleOptions) => {
      await inSession(surroundings, options, async (session) => {
        const trustDomain = trustDomainOf(session.svid().spiffeId);
        const requests = await Promise.all(files.map((file) => bodyIn(file, surroundings)));
        const content = contentOfProbes(requests, options, trustDomain);
        const ordered = await propose(session, checked('probe', options.name, content), options);
        session.output.answer(listedJson(ordered), standingInWords(ordered));
      });
    });

  withSigningOptions(withCommonOptions(probe.command('agree')))
    .argument('<proposal-id>')
    .description('agree to them, after seeing what they are; they begin')
    .addHelpText(
      'after',
      "\nExample:\n  atb probe agree probe.autumn.Zk3V… --as person/dave --reason 'as planned'",
    )
    .action(async (id: string, options: SignOffOptions) => {
      process.exitCode = await inSession(surroundings, options, (session) => signOff(session, id, options));
    });

  withRequestOptions(withCommonOptions(probe.command('lift')))
    .argument('<person>', 'their SPIFFE ID; person/NAME will do')
    .description('let what somebody signs count again who approved a probe')
    .addHelpText(
      'after',
      "\nFor security leads.\n\nExample:\n  atb probe lift person/bob --as person/dave --reason 'we talked'",
    )
    .action(async (person: string, options: SigningOptions) => {
      process.exitCode = await inSession(surroundings, options, (session) => lift(session, person, options));
    });

  withCommonOptions(probe.command('ls'))
    .description('list what was ordered and what was lifted')
    .addHelpText('after', '\nExample:\n  atb probe ls --as person/carol')
    .action(async (options: CommonOptions) => {
      await inSession(surroundings, options, async (session) => {
        const shown = await proposalsOf(session, KINDS);
        session.output.answer({ probes: shown.map(listedJson) }, proposalsInWords(shown));
      });
    });
}

async function lift(session: Session, who: string, options: SigningOptions) {
  const person = spiffeIdOf(who, trustDomainOf(session.svid().spiffeId));
  const name = (person.split('/').at(-1) ?? '').toLowerCase().replaceAll(/[^a-z0-9_-]/g, '-');
  const lifting = await propose(session, checked('suspension_lift', name, { person }), options);
  return signOff(session, lifting.id, options);
}

async function bodyIn(file: string, { input }: Surroundings): Promise<Json> {
  return parseJson(file, await contentOf(file, input));
}

function contentOfProbes(
  requests: readonly Json[],
  { agent, after, every }: ScheduleOptions,
  trustDomain: string,
): JsonObject {
  return {
    agent: spiffeIdOf(agent, trustDomain),
    requests,
    ...(after !== undefined && { after_seconds: after }),
    ...(every !== undefined && { every_seconds: every }),
  };
}

function spiffeIdOf(who: string, trustDomain: string): string {
  return who.startsWith('spiffe://') ? who : `spiffe://${trustDomain}/${who}`;
}

/** Throws `UsageError` for what no policy would agree to: nobody signs that. */
function checked(kind: Proposed['kind'], name: string, content: JsonObject): Proposed {
  const proposed: Proposed = { kind, name, content };
  try {
    requireContent(proposed);
  } catch (error) {
    if (!isAtbError(error)) throw error;
    throw new UsageError(error.message);
  }
  return proposed;
}
