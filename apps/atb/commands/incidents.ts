import { Option } from 'commander';
import type { Command } from 'commander';
import { stopTargetText } from '../../../domain/stop';
import { SEVERITIES } from '../../../domain/incident';
import type { IncidentStep } from '../../../domain/incident';
import { visible } from '../../../domain/foreign-text';
import { EXIT } from '../exit';
import { incidentInWords, incidentOf, incidentsOf, openIncident, speak } from '../incident';
import type { ShownIncident } from '../incident';
import { table } from '../output';
import type { Surroundings } from '../output';
import { trustDomainOf } from '../identity';
import { UsageError } from '../refusal';
import { inSession, withCommonOptions } from '../session';
import type { CommonOptions } from '../session';
import { reasonOf } from '../signed-word';
import type { SigningOptions } from '../signed-word';
import { stopOrder, withStopTarget } from '../stop-target';
import type { StopTargetOptions } from '../stop-target';

interface OpenOptions extends SigningOptions {
  readonly kind: string;
  readonly cause: string;
  readonly severity?: string;
}

interface NoteOptions extends SigningOptions {
  readonly followUp?: boolean;
  readonly closes?: string;
}

interface ContainOptions extends SigningOptions, StopTargetOptions {
  readonly lift?: boolean;
}

/** `atb incident`: what happened, and what people say on it (operating model §5). */
export function registerIncidents(program: Command, surroundings: Surroundings): void {
  const incident = program
    .command('incident')
    .description('incidents: open one, acknowledge, note, contain, resolve, review');

  withCommonOptions(incident.command('ls'))
    .description('list the incidents that are not over, the newest first')
    .addOption(new Option('--state <state>', 'in this state').choices(['open', 'acknowledged', 'resolved']))
    .addHelpText('after', '\nExample:\n  atb incident ls --state open --as person/carol')
    .action(async (options: CommonOptions & { readonly state?: string }) => {
      await inSession(surroundings, options, async (session) => {
        const shown = (await incidentsOf(session)).filter(
          ({ state }) => options.state === undefined || state === options.state,
        );
        session.output.answer({ incidents: shown.map(({ document }) => document) }, listInWords(shown));
      });
    });

  withCommonOptions(incident.command('show'))
    .argument('<incident-id>')
    .description('show an incident: what happened, who was told, who said what')
    .addHelpText('after', '\nExample:\n  atb incident show manual.Zk3V… --as person/carol')
    .action(async (id: string, options: CommonOptions) => {
      await inSession(surroundings, options, async (session) => {
        const shown = await incidentOf(session, id);
        session.output.answer(shown.document, incidentInWords(shown));
      });
    });

  withWordOptions(withCommonOptions(incident.command('open')))
    .description('open an incident by your signed word, or join the one with the same cause')
    .option('--kind <kind>', "one of policy's kinds", 'manual')
    .requiredOption('--cause <text>', 'what happened; the same kind and cause are the same incident')
    .addOption(new Option('--severity <severity>', 'else as policy says of the kind').choices(SEVERITIES))
    .addHelpText(
      'after',
      "\nExample:\n  atb incident open --cause 'the ERP answers strangers' --severity P2 --as person/grace --reason 'seen in its log'",
    )
    .action(async ({ kind, cause, severity, ...options }: OpenOptions) => {
      process.exitCode = await inSession(surroundings, options, async (session) => {
        const asked = { kind, cause, severity: severity ?? null };
        const shown = await openIncident(session, asked, options);
        if (!shown) return EXIT.refused;
        session.output.answer(shown.document, incidentInWords(shown));
        return EXIT.done;
      });
    });

  withWordOptions(withCommonOptions(incident.command('ack')))
    .argument('<incident-id>')
    .description('say that you are at it: nobody else is called')
    .addHelpText('after', "\nExample:\n  atb incident ack manual.Zk3V… --as person/carol --reason 'looking'")
    .action(speaking('acknowledge'));

  withWordOptions(withCommonOptions(incident.command('note')))
    .argument('<incident-id>')
    .description('write something into its timeline, or what has to be done before its review')
    .option('--follow-up', 'it has to be done before the review')
    .option('--closes <follow-up>', 'that follow-up, by the id in "to be done", is done')
    .addHelpText(
      'after',
      "\nExamples:\n  atb incident note manual.Zk3V… --as person/carol --reason 'the log is saved'\n  atb incident note manual.Zk3V… --follow-up --as person/carol --reason 'narrow the allowlist'",
    )
    .action(async (id: string, options: NoteOptions) => {
      const { followUp, closes: about = null } = options;
      if (followUp === true && about !== null) throw new UsageError('either --follow-up or --closes');
      const step = about !== null ? 'follow_up_close' : followUp === true ? 'follow_up' : 'note';
      process.exitCode = await inSession(surroundings, options, (session) =>
        speak(session, id, { step, about }, options),
      );
    });

  withStopTarget(withCommonOptions(incident.command('contain')))
    .argument('<incident-id>')
    .description('stop what the incident is about, or lift that: an agent, a connector, a tier')
    .option('--lift', 'it may go on')
    .option('--role <role>', 'the role in which you speak; needed where you have several that fit')
    .option('--yes', 'sign without being asked; it is shown all the same')
    .addHelpText(
      'after',
      `
Examples:
  atb incident contain mandate_replayed.Zk3V… --agent agent/finance-bot --as person/carol --reason 'it is not itself'
  atb incident contain mandate_replayed.Zk3V… --agent agent/finance-bot --lift --as person/dave --reason 'new keys'`,
    )
    .action(async (id: string, options: ContainOptions) => {
      process.exitCode = await inSession(surroundings, options, async (session) => {
        const order = stopOrder(
          { ...options, reason: options.reason ?? (await reasonOf(session, options)) },
          trustDomainOf(session.svid().spiffeId),
        );
        if (!order) throw new UsageError('what? one of --agent, --connector, --tier, --request, --all');
        const word = {
          step: options.lift === true ? 'lift' : 'contain',
          about: stopTargetText(order.target),
        } as const;
        return speak(session, id, word, { ...options, reason: order.reason });
      });
    });

  withWordOptions(withCommonOptions(incident.command('resolve')))
    .argument('<incident-id>')
    .description('say that it is over; the review is asked for later')
    .addHelpText(
      'after',
      "\nExample:\n  atb incident resolve manual.Zk3V… --as person/carol --reason 'patched'",
    )
    .action(speaking('resolve'));

  withWordOptions(withCommonOptions(incident.command('review')))
    .argument('<incident-id>')
    .description('close it with what was learnt, once no follow-up is open')
    .addHelpText(
      'after',
      "\nExample:\n  atb incident review manual.Zk3V… --as person/dave --reason 'the allowlist was too wide'",
    )
    .action(speaking('review'));

  function speaking(step: IncidentStep) {
    return async (id: string, options: SigningOptions): Promise<void> => {
      process.exitCode = await inSession(surroundings, options, (session) =>
        speak(session, id, { step, about: null }, options),
      );
    };
  }
}

function withWordOptions(command: Command): Command {
  return command
    .option('--role <role>', 'the role in which you speak; needed where you have several that fit')
    .option('--reason <text>', 'what you have to say; it is signed')
    .option('--yes', 'sign without being asked; it is shown all the same');
}

function listInWords(incidents: readonly ShownIncident[]): string {
  if (incidents.length === 0) return 'no incident is open';
  const rows = incidents.map(({ id, severity, state, openedAt, title, count }) => [
    severity,
    state,
    openedAt,
    String(count),
    visible(title),
    id,
  ]);
  return table([['', 'STATE', 'SINCE', 'COUNT', 'WHAT', 'INCIDENT'], ...rows]);
}
