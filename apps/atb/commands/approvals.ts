import type { Command } from 'commander';
import type { JsonObject } from '../../../domain/json';
import { visible } from '../../../domain/foreign-text';
import { moment } from '../moment';
import { table } from '../output';
import type { Surroundings } from '../output';
import { inSession, withCommonOptions } from '../session';
import type { CommonOptions } from '../session';
import { list, parseStanding } from '../standing';
import { shortName } from '../words';

/** `atb approvals`: what waits for me. */
export function registerApprovals(program: Command, surroundings: Surroundings): void {
  withCommonOptions(program.command('approvals'))
    .description('list what waits for your word')
    .addHelpText(
      'after',
      '\nExamples:\n  atb approvals --as person/bob\n  atb approvals --as person/bob --json',
    )
    .action(async (options: CommonOptions) => {
      await inSession(surroundings, options, async (session) => {
        const { body } = await session.client().get('/approvals');
        session.output.answer(body, approvalsInWords(body, session.now));
      });
    });
}

function approvalsInWords(body: JsonObject, now: Date): string {
  const waiting = list(body.approvals ?? body.requests ?? body.items).map(parseStanding);
  if (waiting.length === 0) return 'nothing waits for you';
  return table([
    ['REQUEST', 'TIER', 'ACTION', 'AGENT', 'UNTIL'],
    ...waiting.map(({ requestId, tier, action, agent, expiresAt }) => [
      visible(requestId),
      visible(tier ?? ''),
      visible(action ?? ''),
      shortName(agent ?? ''),
      expiresAt === undefined ? '' : moment(expiresAt, now),
    ]),
  ]);
}
