import type { Command } from 'commander';
import type { ExitCode } from '../exit';
import type { Surroundings } from '../output';
import { walkQueue } from '../queue';
import { UsageError } from '../refusal';
import { inSession, requestPath, withCommonOptions } from '../session';
import type { Session } from '../session';
import { parseStanding } from '../standing';
import { giveVerdict, showRequest } from '../verdict';
import type { VerdictOptions } from '../verdict';
import type { Word } from '../words';

interface Options extends VerdictOptions {
  readonly batch?: boolean;
}

const WORDS: readonly { readonly word: Word; readonly description: string; readonly example: string }[] = [
  {
    word: 'approve',
    description: 'approve a request, after seeing what you sign',
    example:
      "atb approve KqzVb… --as person/bob --reason 'the invoice is right'\n  atb approve --batch --as person/bob",
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
    const command = withCommonOptions(program.command(word))
      .argument(word === 'approve' ? '[request-id]' : '<request-id>')
      .description(description)
      .option('--role <role>', 'the role in which you speak; needed where you have several that fit')
      .option('--reason <text>', 'why; it is signed with your verdict', '')
      .option('--attest <fact...>', 'facts that you checked yourself and vouch for', [])
      .option('--yes', 'sign without being asked; it is shown all the same')
      .option(
        '--via <way>',
        'http, or temporal: the same statement as a signal, for when AgentAuth takes none',
        'http',
      );
    if (word === 'approve')
      command.option('--batch', 'walk through all that waits for you: approve, reject, skip, quit');
    command
      .addHelpText(
        'after',
        `
What you sign is shown on stderr. At a terminal you are asked: for your reason where the tier demands one, for each fact
to vouch for, one by one, and whether to sign. Elsewhere --yes is needed, with --reason and --attest.
With --via temporal the codec keys are needed too (ATB_CODEC_KEYS_FILE, or a development stack's).

Example:
  ${example}`,
      )
      .action(async (requestId: string | undefined, options: Options) => {
        process.exitCode = await inSession(surroundings, options, (session) => {
          if ((requestId === undefined) !== (options.batch === true)) {
            throw new UsageError('name one request, or say --batch');
          }
          return requestId === undefined
            ? walkQueue(session, options)
            : verdictOnOne(session, word, requestId, options);
        });
      });
  }
}

async function verdictOnOne(
  session: Session,
  word: Word,
  requestId: string,
  options: Options,
): Promise<ExitCode> {
  const path = requestPath(requestId);
  if (options.via !== 'http' && options.via !== 'temporal') throw new UsageError('--via is http or temporal');
  if (options.yes !== true && !session.surroundings.ask) {
    throw new UsageError('there is no terminal to ask at; look at it with "atb show", then say --yes');
  }
  const standing = parseStanding((await session.client().get(path)).body);
  const toSign = showRequest(session, standing, requestId);
  const { exit, document, text } = await giveVerdict(session, word, { standing, toSign }, options);
  session.output.answer(document, text);
  return exit;
}
