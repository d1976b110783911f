import type { Command } from 'commander';
import { EXIT } from '../exit';
import type { Surroundings } from '../output';
import { inSession, withCommonOptions } from '../session';
import type { CommonOptions } from '../session';
import { readToken } from '../token';
import { valueLines } from '../words';

/** `atb introspect` (RFC 7662). */
export function registerIntrospect(program: Command, surroundings: Surroundings): void {
  withCommonOptions(program.command('introspect'))
    .argument('<mandate>', 'the mandate; @FILE reads it from a file, - from stdin')
    .description('ask AgentAuth whether a mandate is good now, revocation included')
    .addHelpText(
      'after',
      `
Exits with 0 where the mandate is active, and with 1 where it is not.

Example:
  atb introspect @mandate.jwt --as agent/finance-bot`,
    )
    .action(async (mandate: string, options: CommonOptions) => {
      process.exitCode = await inSession(surroundings, options, async (session) => {
        const token = await readToken(mandate, surroundings.input);
        const { body } = await session.client().form('/introspect', { token });
        const active = body.active === true;
        session.output.answer(
          body,
          [active ? 'active' : 'not active', ...(active ? valueLines(body) : [])].join('\n  '),
        );
        return active ? EXIT.done : EXIT.refused;
      });
    });
}
