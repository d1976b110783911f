import type { Command } from 'commander';
import { isJsonObject } from '../../../domain/json';
import { askedInWords, parseConsultation } from '../consultation';
import type { Surroundings } from '../output';
import { standingInWords } from '../presentation';
import { inSession, requestPath, withCommonOptions } from '../session';
import type { CommonOptions } from '../session';
import { parseStanding } from '../standing';

/** `atb show`: where a request stands. */
export function registerShow(program: Command, surroundings: Surroundings): void {
  withCommonOptions(program.command('show'))
    .argument('<request-id>')
    .description('show where a request stands: to its agent, and to its approvers')
    .addHelpText(
      'after',
      `
Examples:
  atb show KqzVb… --as agent/finance-bot
  atb show KqzVb… --as person/bob --json`,
    )
    .action(async (requestId: string, options: CommonOptions) => {
      await inSession(surroundings, options, async (session) => {
        const path = requestPath(requestId);
        const { body } = await session.client().get(path);
        const { consultation: asked } = body;
        const lines = isJsonObject(asked) ? askedInWords(parseConsultation(asked)) : [];
        session.output.answer(body, [standingInWords(parseStanding(body), session.now), ...lines].join('\n'));
      });
    });
}
