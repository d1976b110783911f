import type { Command } from 'commander';
import { visible } from '../../../domain/foreign-text';
import type { JsonObject } from '../../../domain/json';
import { ISSUE_PATH } from '../../../domain/signed-request';
import { parseAssignments } from '../assignment';
import { Output, table } from '../output';
import type { Surroundings } from '../output';
import { UsageError } from '../refusal';
import { inSession, withCommonOptions } from '../session';
import type { CommonOptions } from '../session';
import { parseStanding } from '../standing';
import { filledIn, localTemplates } from '../templates';
import type { Template } from '../templates';
import { answer } from './request';

interface UseOptions extends CommonOptions {
  readonly set: readonly string[];
  readonly request?: string;
  readonly param: readonly string[];
}

const collect = (value: string, before: readonly string[]) => [...before, value];

/** `atb template`: the legal grounds of the operating model §4, ready to be filled in. */
export function registerTemplate(program: Command, surroundings: Surroundings): void {
  const template = program.command('template').description('legal grounds, ready to be filled in');

  template
    .command('ls')
    .description('list the mandate templates')
    .option('--json', 'answer with one JSON document on stdout')
    .action((options: { readonly json?: boolean }) => {
      const templates = localTemplates();
      new Output(surroundings, options.json === true).answer(
        { templates: templates.map(templateJson) },
        table([
          ['TEMPLATE', 'BASIS', 'NEEDS', 'TITLE'],
          ...templates.map(({ name, basis, title, fields }) => [
            ...[
              name,
              basis,
              fields
                .filter(({ required }) => required)
                .map((field) => field.name)
                .join(', '),
              title,
            ],
          ]),
        ]),
      );
    });

  template
    .command('show')
    .argument('<name>')
    .description('show the fields of a template, with an example each')
    .option('--json', 'answer with one JSON document on stdout')
    .action((name: string, options: { readonly json?: boolean }) => {
      const chosen = templateNamed(name);
      new Output(surroundings, options.json === true).answer(
        templateJson(chosen),
        [
          `${chosen.name}: ${chosen.title} (${chosen.basis}; ${chosen.source})`,
          table([
            ['FIELD', 'NEEDED', 'FOR EXAMPLE', 'WHAT'],
            ...chosen.fields.map(({ name: field, required, example, description }) => [
              ...[field, required ? 'yes' : 'no', example, description],
            ]),
          ]),
        ].join('\n'),
      );
    });

  withCommonOptions(template.command('use'))
    .argument('<name>')
    .description('fill in a template, and print the legal ground, or ask for a mandate with it')
    .option('--set <field=value>', 'a field of the template; repeatable', collect, [])
    .option('--request <action>', 'ask for a mandate for this action on this ground')
    .option('--param <name=value>', 'with --request: what exactly will be done; repeatable', collect, [])
    .addHelpText(
      'after',
      `
At a terminal what is missing is asked for; elsewhere it is named, and nothing is printed.

Examples:
  atb template use contract --set jurisdiction=EU --set accountable_party=employee:emp-100 --set ref=MSA-12345
  atb template use consent --set … | atb request marketing.email.send_batch --leg-file -
  atb template use contract --set … --request erp.order.create --as agent/finance-bot`,
    )
    .action(async (name: string, options: UseOptions) => {
      process.exitCode = await inSession(surroundings, options, async (session) => {
        const chosen = templateNamed(name);
        const leg = filledIn(chosen, await completed(chosen, valuesOf(options.set), surroundings.ask));
        if (options.request === undefined) {
          if (options.param.length > 0) throw new UsageError('--param goes with --request');
          // The same with and without --json: another command reads it.
          session.surroundings.out(`${JSON.stringify(leg, null, 2)}\n`);
          return 0;
        }
        const svid = session.svid();
        const con = { params: parseAssignments('--param', options.param) };
        const body = { act: options.request, con, leg };
        const reply = await session
          .client(svid)
          .postSigned(ISSUE_PATH, await session.signed(svid, ISSUE_PATH, body));
        return answer(session, parseStanding(reply.body));
      });
    });
}

function templateNamed(name: string): Template {
  const templates = localTemplates();
  const found = templates.find((one) => one.name === name || one.basis === name);
  if (found) return found;
  throw new UsageError(
    `there is no template "${visible(name)}"; there are ${templates.map((one) => one.name).join(', ')}`,
  );
}

/** Fields are text, whatever they look like. */
function valuesOf(set: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    Object.entries(parseAssignments('--set', set)).map(([name, value]): [string, string] => {
      if (typeof value !== 'string') throw new UsageError(`--set ${name}=value: a field is text`);
      return [name, value];
    }),
  );
}

/** Asks a person for what is needed and not given; an empty answer leaves it missing. */
async function completed(
  { fields }: Template,
  given: Readonly<Record<string, string>>,
  ask: Surroundings['ask'],
): Promise<Record<string, string>> {
  const values: Record<string, string> = { ...given };
  if (!ask) return values;
  for (const { name, required, description, example } of fields) {
    if (!required || values[name] !== undefined) continue;
    const told = (await ask(`${name}: ${description} (for example ${example}): `)).trim();
    if (told !== '') values[name] = told;
  }
  return values;
}

function templateJson({ name, basis, title, source, fields }: Template): JsonObject {
  return {
    ...{ name, basis, title, source },
    fields: fields.map(({ name: field, required, description, example, pattern }) => ({
      ...{ name: field, required, description, example },
      ...(pattern !== undefined && { pattern }),
    })),
  };
}
