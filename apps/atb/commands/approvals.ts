import type { Command } from 'commander';
import { visible } from '../../../domain/foreign-text';
import { moment } from '../moment';
import { table } from '../output';
import type { Surroundings } from '../output';
import { waitingForMe, walkQueue } from '../queue';
import { inSession, withCommonOptions } from '../session';
import type { CommonOptions } from '../session';
import type { Standing } from '../standing';
import { shortName } from '../words';

/** `atb approvals`: what waits for me. */
export function registerApprovals(program: Command, surroundings: Surroundings): void {
  withCommonOptions(program.command('approvals'))
    .description('list what waits for your word, most urgent first')
    .option('--batch', 'walk through it: approve, reject, skip, quit')
    .addHelpText(
      'after',
      '\nExamples:\n  atb approvals --as person/bob\n  atb approvals --as person/bob --json\n  atb approvals --as person/bob --batch',
    )
    .action(async (options: CommonOptions & { readonly batch?: boolean }) => {
      await inSession(surroundings, options, async (session) => {
        if (options.batch === true) {
          await walkQueue(session, { ...options, reason: '', attest: [], via: 'http' });
          return;
        }
        const { body, waiting } = await waitingForMe(session.client());
        session.output.answer(body, approvalsInWords(waiting, session.now));
      });
    });
}

function approvalsInWords(waiting: readonly Standing[], now: Date): string {
  if (waiting.length === 0) return 'nothing waits for you';
  return table([
    ['UNTIL', 'TIER', 'ACTION', 'AGENT', 'SO FAR', 'REQUEST'],
    ...waiting.map(({ requestId, tier, action, agent, expiresAt, verdicts }) => [
      expiresAt === undefined ? '' : moment(expiresAt, now),
      visible(tier ?? ''),
      visible(action ?? ''),
      shortName(agent ?? ''),
      String(verdicts.length),
      visible(requestId),
    ]),
  ]);
}
