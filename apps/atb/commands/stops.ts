import type { Command } from 'commander';
import { visible } from '../../../domain/foreign-text';
import { isJsonObject } from '../../../domain/json';
import type { Json, JsonObject } from '../../../domain/json';
import { moment } from '../moment';
import { table } from '../output';
import type { Surroundings } from '../output';
import { inSession, withCommonOptions } from '../session';
import type { CommonOptions } from '../session';
import { shortName } from '../words';

/** `atb stops`: what is stopped now. */
export function registerStops(program: Command, surroundings: Surroundings): void {
  const stops = program.command('stops').description('what is stopped');
  withCommonOptions(stops.command('ls'))
    .description('list what is stopped now, since when, and who wants it lifted')
    .addHelpText('after', '\nExample:\n  atb stops ls --as person/carol')
    .action(async (options: CommonOptions) => {
      await inSession(surroundings, options, async (session) => {
        const { body } = await session.client().get('/stops');
        session.output.answer(body, inWords(objects(body.stops), session.now));
      });
    });
}

function inWords(stops: readonly JsonObject[], now: Date): string {
  if (stops.length === 0) return 'nothing is stopped';
  return table([
    ['WHAT', 'WHICH', 'SINCE', 'LIFT WANTED BY'],
    ...stops.map(({ scope, value, stopped_at: since, lifts }) => [
      text(scope),
      scope === 'agent' ? shortName(text(value)) : text(value),
      moment(new Date(text(since)), now),
      objects(lifts)
        .map(({ by }) => shortName(text(by)))
        .join(', '),
    ]),
  ]);
}

function objects(value: Json | undefined): JsonObject[] {
  return Array.isArray(value) ? (value as readonly Json[]).filter(isJsonObject) : [];
}

function text(value: Json | undefined): string {
  return typeof value === 'string' ? visible(value) : '';
}
