import type { Command } from 'commander';
import { visible } from '../../../domain/foreign-text';
import { answerFor, consultationInWords, consultationOf, consultationsOf } from '../consultation';
import type { ShownConsultation } from '../consultation';
import { table } from '../output';
import type { Surroundings } from '../output';
import { inSession, withCommonOptions } from '../session';
import type { CommonOptions } from '../session';
import type { SigningOptions } from '../signed-word';

/** `atb consultation`: what teams are asked, with a time limit (RACI, operating model §1). */
export function registerConsultations(program: Command, surroundings: Surroundings): void {
  const consultation = program
    .command('consultation')
    .description('what your team is asked about requests, proposals and incidents: look and answer');

  withCommonOptions(consultation.command('ls'))
    .description('list what your team is asked and whose time is not over, the newest first')
    .addHelpText('after', '\nExample:\n  atb consultation ls --as person/kim')
    .action(async (options: CommonOptions) => {
      await inSession(surroundings, options, async (session) => {
        const shown = await consultationsOf(session);
        session.output.answer({ consultations: shown.map(({ document }) => document) }, listInWords(shown));
      });
    });

  withCommonOptions(consultation.command('show'))
    .argument('<consultation-id>')
    .description('show who is asked about what until when, and the answers')
    .addHelpText('after', '\nExample:\n  atb consultation show incident.manual.Zk3V… --as person/kim')
    .action(async (id: string, options: CommonOptions) => {
      await inSession(surroundings, options, async (session) => {
        const shown = await consultationOf(session, id);
        session.output.answer(shown.document, consultationInWords(shown));
      });
    });

  withCommonOptions(consultation.command('answer'))
    .argument('<consultation-id>')
    .description('answer for your team by your signed word: it advises, and decides nothing')
    .option('--against', 'your team advises against it')
    .option('--role <role>', 'the role in which you speak; needed where you have several')
    .option('--reason <text>', 'what you have to say; it is signed')
    .option('--yes', 'sign without being asked; it is shown all the same')
    .addHelpText(
      'after',
      "\nExample:\n  atb consultation answer incident.manual.Zk3V… --as person/kim --reason 'the broker is sound'",
    )
    .action(async (id: string, options: SigningOptions & { readonly against?: boolean }) => {
      process.exitCode = await inSession(surroundings, options, (session) => answerFor(session, id, options));
    });
}

function listInWords(consultations: readonly ShownConsultation[]): string {
  if (consultations.length === 0) return 'nobody waits for an answer of your team';
  const rows = consultations.map(({ id, title, consulted, answerUntil, answers }) => [
    answerUntil ?? '',
    consulted.filter((team) => !answers.some((answer) => answer.team === team)).join(', '),
    visible(title),
    id,
  ]);
  return table([['UNTIL', 'MISSING', 'WHAT', 'CONSULTATION'], ...rows]);
}
