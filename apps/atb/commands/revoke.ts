import type { Command } from 'commander';
import type { Surroundings } from '../output';
import { inSession, withCommonOptions } from '../session';
import type { CommonOptions } from '../session';
import { readToken } from '../token';

/** `atb revoke` (RFC 7009). */
export function registerRevoke(program: Command, surroundings: Surroundings): void {
  withCommonOptions(program.command('revoke'))
    .argument('<mandate>', 'the mandate; @FILE reads it from a file, - from stdin')
    .description('revoke a mandate: your own, or any where your team may')
    .addHelpText(
      'after',
      '\nExample:\n  atb collect KqzVb… --as agent/finance-bot --quiet | atb revoke - --as agent/finance-bot',
    )
    .action(async (mandate: string, options: CommonOptions) => {
      await inSession(surroundings, options, async (session) => {
        const token = await readToken(mandate, surroundings.input);
        await session.client().form('/revoke', { token });
        session.output.answer({ revoked: true }, 'revoked');
      });
    });
}
