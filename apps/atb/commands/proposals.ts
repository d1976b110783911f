import { Option } from 'commander';
import type { Command } from 'commander';
import { visible } from '../../../domain/foreign-text';
import { PROPOSAL_KINDS, PROPOSAL_STATES } from '../../../domain/proposal';
import { table } from '../output';
import type { Surroundings } from '../output';
import { proposalInWords, proposalOf, proposalsOf, signOff } from '../proposal';
import type { ShownProposal, SignOffOptions } from '../proposal';
import { inSession, withCommonOptions } from '../session';
import type { CommonOptions } from '../session';
import { shortName } from '../words';

interface ListOptions extends CommonOptions {
  readonly kind?: string;
  readonly state?: string;
}

/** `atb proposal`: what people sign off, of every kind. */
export function registerProposals(program: Command, surroundings: Surroundings): void {
  const proposal = program
    .command('proposal')
    .description('what people sign off: connectors, policy bundles, changes');

  withCommonOptions(proposal.command('ls'))
    .description('list proposals, the newest first')
    .addOption(new Option('--kind <kind>', 'of this kind').choices(PROPOSAL_KINDS))
    .addOption(new Option('--state <state>', 'in this state').choices(PROPOSAL_STATES))
    .addHelpText('after', '\nExample:\n  atb proposal ls --state pending --as person/dave')
    .action(async (options: ListOptions) => {
      await inSession(surroundings, options, async (session) => {
        const kinds = options.kind === undefined ? [] : [options.kind];
        const shown = (await proposalsOf(session, kinds)).filter(
          ({ state }) => options.state === undefined || state === options.state,
        );
        session.output.answer({ proposals: shown.map(listedJson) }, proposalsInWords(shown));
      });
    });

  withCommonOptions(proposal.command('show'))
    .argument('<proposal-id>')
    .description('show a proposal, and who said what')
    .addHelpText('after', '\nExample:\n  atb proposal show connector.erp.Zk3V… --as person/dave')
    .action(async (id: string, options: CommonOptions) => {
      await inSession(surroundings, options, async (session) => {
        const shown = await proposalOf(session, id);
        session.output.answer({ ...listedJson(shown), content: shown.content }, proposalInWords(shown));
      });
    });

  withSigningOptions(withCommonOptions(proposal.command('sign')))
    .argument('<proposal-id>')
    .description('sign a step of a proposal off, after seeing what you sign')
    .addHelpText(
      'after',
      "\nExample:\n  atb proposal sign connector.erp.Zk3V… --as person/dave --reason 'the host is ours'",
    )
    .action(async (id: string, options: SignOffOptions) => {
      process.exitCode = await inSession(surroundings, options, (session) => signOff(session, id, options));
    });
}

/** Options of every command that proposes something. */
export function withRequestOptions(command: Command): Command {
  return command
    .option('--role <role>', 'the role in which you speak; needed where you have several')
    .option('--reason <text>', 'why; it is signed with your word')
    .option('--yes', 'do not ask for anything that is missing');
}

/** Options of every command that signs a word on a proposal. */
export function withSigningOptions(command: Command): Command {
  return command
    .option('--step <step>', 'which step; needed where you could sign several')
    .option('--reject', 'say no; it ends the proposal')
    .option('--role <role>', 'the role in which you speak; needed where you have several that fit')
    .option('--reason <text>', 'why; it is signed with your word')
    .option('--yes', 'sign without being asked; it is shown all the same');
}

export function listedJson({ id, kind, name, state, author, outstanding, waitingOn, endsAt }: ShownProposal) {
  return {
    ...{ proposal_id: id, kind, name, state, author, waiting_on: waitingOn, ends_at: endsAt },
    outstanding: outstanding.map(({ name: step, title, roles }) => ({ name: step, title, roles })),
  };
}

export function proposalsInWords(proposals: readonly ShownProposal[]): string {
  if (proposals.length === 0) return 'nothing is proposed';
  const rows = proposals.map(({ id, state, author, waitingOn }) => [
    id,
    state,
    author === null ? '' : visible(shortName(author)),
    waitingOn.join(', '),
  ]);
  return table([['PROPOSAL', 'STATE', 'BY', 'WAITS FOR'], ...rows]);
}
