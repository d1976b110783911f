import type { Command } from 'commander';
import type { Surroundings } from '../output';
import { standingInWords } from '../presentation';
import { inSession, requestPath, withCommonOptions } from '../session';
import type { CommonOptions } from '../session';
import { parseStanding } from '../standing';

/** `atb withdraw`: the requester gives up. */
export function registerWithdraw(program: Command, surroundings: Surroundings): void {
  withCommonOptions(program.command('withdraw'))
    .argument('<request-id>')
    .description('give up a request of your own')
    .addHelpText('after', '\nExample:\n  atb withdraw KqzVb… --as agent/finance-bot')
    .action(async (requestId: string, options: CommonOptions) => {
      await inSession(surroundings, options, async (session) => {
        const path = requestPath(requestId);
        const { body } = await session.client().post(`${path}/withdraw`);
        session.output.answer(body, standingInWords(parseStanding(body), session.now));
      });
    });
}
