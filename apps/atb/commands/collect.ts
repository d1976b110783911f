import type { Command } from 'commander';
import type { Surroundings } from '../output';
import { inSession, requestPath, withCommonOptions } from '../session';
import type { CommonOptions } from '../session';
import { parseStanding } from '../standing';
import { wholeNumber } from '../whole-number';
import { answer, collect, collectWhenDecided, WAIT_SECONDS } from './request';

interface Options extends CommonOptions {
  readonly wait?: number | true;
  readonly quiet?: boolean;
}

/** `atb collect`: mint and take the mandate of an approved request. */
export function registerCollect(program: Command, surroundings: Surroundings): void {
  withCommonOptions(program.command('collect'))
    .argument('<request-id>')
    .description('take the mandate of an approved request; its lifetime starts now')
    .option('--wait [seconds]', `first wait for people (${WAIT_SECONDS} s unless told)`, wholeNumber)
    .option('--quiet', 'print only the mandate')
    .addHelpText(
      'after',
      `
Collecting again while the mandate lives gives the same mandate.

Examples:
  atb collect KqzVb… --as agent/finance-bot
  MANDATE=$(atb collect KqzVb… --as agent/finance-bot --quiet)`,
    )
    .action(async (requestId: string, options: Options) => {
      process.exitCode = await inSession(surroundings, options, async (session) => {
        const path = requestPath(requestId);
        const client = session.client();
        const quiet = options.quiet === true;
        if (options.wait === undefined) {
          const { body } = await collect(session, client, requestId);
          return answer(session, parseStanding(body), quiet && 'mandate');
        }
        const { body } = await client.get(path);
        const seconds = options.wait === true ? WAIT_SECONDS : options.wait;
        return collectWhenDecided(session, client, parseStanding(body), seconds, quiet);
      });
    });
}
