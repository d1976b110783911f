import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { parseConnector } from '../../../adapters/connector/definitions';
import { isAtbError } from '../../../domain/error';
import type { Surroundings } from '../output';
import { proposalsOf, propose, signOff, standingInWords } from '../proposal';
import type { SignOffOptions } from '../proposal';
import { UsageError } from '../refusal';
import { inSession, withCommonOptions } from '../session';
import type { CommonOptions, Session } from '../session';
import type { SigningOptions } from '../signed-word';
import { listedJson, proposalsInWords, withRequestOptions, withSigningOptions } from './proposals';

const KINDS = ['connector', 'connector_retirement'];

/** `atb connector`: a system goes into service behind the broker, and out of it (operating model §2.4). */
export function registerConnector(program: Command, surroundings: Surroundings): void {
  const connector = program
    .command('connector')
    .description('bring a connector into service: request, review, activate, retire');

  withRequestOptions(withCommonOptions(connector.command('request')))
    .argument('<file>', 'the definition, as the broker will read it')
    .description('ask for a connector, with exactly this definition')
    .addHelpText(
      'after',
      "\nExample:\n  atb connector request connectors/erp.json --as person/grace --reason 'orders for finance-bot'",
    )
    .action(async (file: string, options: SigningOptions) => {
      await inSession(surroundings, options, async (session) => {
        const { id, definition } = definitionOf(file);
        await proposed(session, { kind: 'connector', name: id, content: definition }, options);
      });
    });

  withSigningOptions(withCommonOptions(connector.command('review')))
    .argument('<proposal-id>')
    .description('say yes or no to it: Security to where it goes, Legal to what data it carries')
    .addHelpText(
      'after',
      "\nExample:\n  atb connector review connector.erp.Zk3V… --as person/dave --reason 'the host is ours'",
    )
    .action(signing);

  withSigningOptions(withCommonOptions(connector.command('activate')))
    .argument('<proposal-id>')
    .description('put it into service exactly as it was reviewed')
    .addHelpText(
      'after',
      "\nExample:\n  atb connector activate connector.erp.Zk3V… --as person/grace --reason 'deployed'",
    )
    .action(signing);

  withRequestOptions(withCommonOptions(connector.command('retire')))
    .argument('<name>', "the connector's id")
    .description('take it out of service: no broker calls it any more')
    .addHelpText('after', "\nExample:\n  atb connector retire erp --as person/grace --reason 'replaced'")
    .action(async (name: string, options: SigningOptions) => {
      process.exitCode = await inSession(surroundings, options, async (session) => {
        const retirement = await propose(
          session,
          { kind: 'connector_retirement', name, content: {} },
          options,
        );
        return signOff(session, retirement.id, options);
      });
    });

  withCommonOptions(connector.command('ls'))
    .description('list the connectors that were asked for, and where they stand')
    .addHelpText('after', '\nExample:\n  atb connector ls --as person/grace')
    .action(async (options: CommonOptions) => {
      await inSession(surroundings, options, async (session) => {
        const shown = await proposalsOf(session, KINDS);
        session.output.answer({ connectors: shown.map(listedJson) }, proposalsInWords(shown));
      });
    });

  async function signing(id: string, options: SignOffOptions): Promise<void> {
    process.exitCode = await inSession(surroundings, options, (session) => signOff(session, id, options));
  }
}

async function proposed(
  session: Session,
  what: Parameters<typeof propose>[1],
  options: SigningOptions,
): Promise<void> {
  const shown = await propose(session, what, options);
  session.output.answer(listedJson(shown), standingInWords(shown));
}

/** Throws `UsageError` for a file that no broker would take: nobody is asked to review that. */
function definitionOf(file: string) {
  let content: Buffer;
  try {
    content = readFileSync(file);
  } catch (cause) {
    throw new UsageError(`${file} cannot be read`, { cause });
  }
  try {
    return parseConnector(content, file);
  } catch (error) {
    if (!isAtbError(error)) throw error;
    throw new UsageError(error.message);
  }
}
