import { setTimeout as pause } from 'node:timers/promises';
import { InvalidArgumentError, Option } from 'commander';
import type { Command } from 'commander';
import { PostgresAuditEvents } from '../../../adapters/postgres/audit-events';
import type { EventFilter, PlacedEvent } from '../../../adapters/postgres/audit-events';
import { AUDIT_EVENT_TYPES } from '../../../domain/audit-event';
import { AtbError, isAtbError } from '../../../domain/error';
import { EVENT_FORMS, eventJson, inForm } from '../../../domain/event-form';
import type { EventForm } from '../../../domain/event-form';
import { visible } from '../../../domain/foreign-text';
import { TIERS } from '../../../domain/policy';
import { parseDay, parseRfc3339 } from '../../../domain/rfc3339';
import { writeMadeFile } from '../made-file';
import { table } from '../output';
import type { Surroundings } from '../output';
import { inSession, withCommonOptions } from '../session';
import type { CommonOptions, Session } from '../session';
import { positiveNumber, wholeNumber } from '../whole-number';
import { shortName, valueLines } from '../words';
import { auditKeys, databaseUrl } from './audit-store';

interface StoreOptions extends CommonOptions {
  readonly databaseUrlFile?: string;
  readonly auditKeysFile?: string;
}

interface FilterOptions extends StoreOptions {
  readonly request?: string;
  readonly type?: readonly string[];
  readonly agent?: string;
  readonly action?: string;
  readonly tier?: string;
  readonly outcome?: string;
  readonly since?: Date;
  readonly until?: Date;
  readonly from?: number;
}

const LIMIT = 100;
const TAIL = 10;
const LOOK_EVERY_MS = 500;
const OUTCOMES = ['success', 'refused', 'failure'];

/** `atb audit ls`, `show`, `tail` and `export`: the events of the log, from PostgreSQL. */
export function registerAuditEvents(audit: Command, surroundings: Surroundings): void {
  withFilters(audit.command('ls'))
    .description('list audit events, oldest first')
    .option('--limit <n>', 'at most so many', positiveNumber, LIMIT)
    .addHelpText(
      'after',
      `
Examples:
  atb audit ls
  atb audit ls --type poa_issued_dual_control --since 2026-11-01 --json
  atb audit ls --request KqzVb…
  atb audit ls --agent agent/finance-bot --outcome refused`,
    )
    .action(async (options: FilterOptions & { readonly limit: number }) => {
      await withEvents(surroundings, options, async (events, session) => {
        const filter = filterOf(options, session);
        const found: PlacedEvent[] = [];
        for await (const event of events.read(
          filter,
          options.from ?? 0,
          await sizeFrom(events, options.from),
        )) {
          if (found.push(event) === options.limit) break;
        }
        session.output.answer({ events: found.map(eventJson) }, eventsInWords(found));
        const last = found.at(-1);
        if (last && found.length === options.limit) {
          session.output.note(`there may be more: --from ${last.index + 1}`);
        }
      });
    });

  withStore(audit.command('show'))
    .argument('<event-id or place>', 'KqzVb…/poa_issued, or its place in the log')
    .description('show one audit event, whole')
    .addHelpText('after', '\nExamples:\n  atb audit show KqzVb…/poa_issued\n  atb audit show 17 --json')
    .action(async (idOrPlace: string, options: StoreOptions) => {
      await withEvents(surroundings, options, async (events, session) => {
        const size = await events.size();
        const place = /^\d{1,15}$/.test(idOrPlace) ? Number(idOrPlace) : undefined;
        const [filter, from, to] =
          place === undefined ? [{ id: idOrPlace }, 0, size] : [{}, place, Math.min(place + 1, size)];
        for await (const event of events.read(filter, from, to)) {
          const { data, ...rest } = eventJson(event);
          const lines = [...valueLines(rest), ...valueLines({ data: data ?? null })];
          session.output.answer(eventJson(event), lines.join('\n'));
          return;
        }
        throw new AtbError('not_found', `the log has no event ${visible(idOrPlace)}`);
      });
    });

  withFilters(audit.command('tail'))
    .description('show the last audit events; with -f, and those that come')
    .option('-f, --follow', 'wait for more, until Ctrl-C; a database that is away is waited for')
    .option('-n, --lines <n>', 'how many of the last', wholeNumber, TAIL)
    .addHelpText(
      'after',
      `
With --json each event is one line. --from goes on where an earlier tail ended, and leaves nothing out.

Examples:
  atb audit tail -f
  atb audit tail -f --outcome refused --json
  atb audit tail -f --from 1024`,
    )
    .action(async (options: FilterOptions & { readonly follow?: boolean; readonly lines: number }) => {
      await withEvents(surroundings, options, async (events, session) => {
        await tail(events, session, options);
      });
    });

  withFilters(audit.command('export'))
    .description('write audit events, one JSON document a line, for other systems')
    .addOption(new Option('--format <format>', 'in which form').choices(EVENT_FORMS).default('ndjson'))
    .option('--source <uri>', 'whose log it is, in the events (CloudEvents source)', 'urn:atb:audit')
    .option('--out <file>', 'into this file, which must not be there yet, instead of stdout')
    .addHelpText(
      'after',
      `
What is personal is in it where the audit keys are there. Which class of OCSF an event is told in: docs/audit.md.

Examples:
  atb audit export --since 2026-11-01 --until 2026-12-01 > november.ndjson
  atb audit export --format ocsf --from 1024 --out events.ocsf.ndjson`,
    )
    .action(
      async (
        options: FilterOptions & {
          readonly format: EventForm;
          readonly source: string;
          readonly out?: string;
        },
      ) => {
        await withEvents(surroundings, options, async (events, session) => {
          const size = await sizeFrom(events, options.from);
          const wanted = events.read(filterOf(options, session), options.from ?? 0, size);
          const lines = asLines(wanted, (event) => inForm(options.format, event, options.source));
          if (options.out === undefined) for await (const line of lines) surroundings.out(line);
          else await writeMadeFile(options.out, lines);
          session.output.note(`the log has ${size} events: go on with --from ${size}`);
        });
      },
    );
}

function withStore(command: Command): Command {
  return withCommonOptions(command)
    .option('--database-url-file <file>', 'a file with the PostgreSQL URL (ATB_DATABASE_URL_FILE)')
    .option('--audit-keys-file <file>', 'the master keys of personal data (ATB_AUDIT_KEYS_FILE)');
}

function withFilters(command: Command): Command {
  return withStore(command)
    .option('--request <request-id>', 'events of this request')
    .addOption(new Option('--type <type...>', 'events of these types').choices(AUDIT_EVENT_TYPES))
    .option('--agent <spiffe-id>', 'events about this agent; agent/NAME will do')
    .option('--action <action>', 'events about this action of the catalogue')
    .addOption(new Option('--tier <tier>', 'events of this tier').choices(TIERS))
    .addOption(new Option('--outcome <outcome>', 'events that ended so').choices(OUTCOMES))
    .option('--since <time>', 'from this time on (RFC 3339, or a day of UTC)', moment)
    .option('--until <time>', 'before this time', moment)
    .option('--from <place>', 'from this place in the log on', wholeNumber);
}

function moment(text: string): Date {
  const time = parseDay(text) ?? parseRfc3339(text);
  if (!time) {
    throw new InvalidArgumentError('A time like 2026-11-01 or 2026-11-01T12:00:00Z, please.');
  }
  return time;
}

function filterOf(options: FilterOptions, session: Session): EventFilter {
  const { request: requestId, type: types, agent, action, tier, outcome, since, until } = options;
  return {
    ...{ requestId, types, action, tier, outcome, since, until },
    agent: agent === undefined ? undefined : session.agentId(agent),
  };
}

async function withEvents(
  surroundings: Surroundings,
  options: StoreOptions,
  work: (events: PostgresAuditEvents, session: Session) => Promise<void>,
): Promise<void> {
  await inSession(surroundings, options, async (session) => {
    const events = new PostgresAuditEvents(
      await databaseUrl(session, options.databaseUrlFile),
      await auditKeys(session, options.auditKeysFile),
    );
    try {
      await work(events, session);
    } finally {
      await events.end();
    }
  });
}

/** How many events there are. Throws `audit_log_diverged` where a place was told that the log does not reach any more. */
async function sizeFrom(events: PostgresAuditEvents, from = 0): Promise<number> {
  const size = await events.size();
  if (from <= size) return size;
  throw new AtbError(
    'audit_log_diverged',
    `the log has ${size} events, and does not reach the place ${from}: it was restored from an older copy, or the place is mistyped`,
  );
}

async function tail(
  events: PostgresAuditEvents,
  session: Session,
  options: FilterOptions & { readonly follow?: boolean; readonly lines: number },
): Promise<void> {
  const filter = filterOf(options, session);
  const { signal, ...ending } = interruption(session);
  const show = (event: PlacedEvent) => {
    session.surroundings.out(
      session.output.json ? `${JSON.stringify(eventJson(event))}\n` : `${cellsOf(event).join('  ')}\n`,
    );
  };
  try {
    let next = options.from ?? (await lastOf(events, filter, options.lines, show));
    let away = false;
    do {
      try {
        const size = await sizeFrom(events, next);
        for await (const event of events.read(filter, next, size)) {
          if (signal.aborted) break;
          show(event);
          next = event.index + 1;
        }
        if (!signal.aborted) next = size;
        away = false;
      } catch (error) {
        if (options.follow !== true || !isAtbError(error) || error.code !== 'audit_unavailable') throw error;
        if (!away) session.output.note('the database does not answer; it is waited for');
        away = true;
      }
      if (options.follow === true) await pause(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    } while (options.follow === true && !signal.aborted);
    if (signal.aborted) session.output.note(`go on with --from ${next}`);
  } finally {
    ending.forget();
  }
}

/** Aborted by Ctrl-C, until it is forgotten. */
function interruption(session: Session): { readonly signal: AbortSignal; readonly forget: () => void } {
  const controller = new AbortController();
  const forget = session.surroundings.onInterrupt(() => {
    controller.abort();
  });
  return { signal: controller.signal, forget };
}

/** Shows the last events that are asked for; answers the place after them. Looks back by and by. */
async function lastOf(
  events: PostgresAuditEvents,
  filter: EventFilter,
  count: number,
  show: (event: PlacedEvent) => void,
): Promise<number> {
  const size = await events.size();
  let last: readonly PlacedEvent[] = [];
  for (let width = 1_000, from = size; from > 0 && last.length < count; width *= 2) {
    const to = from;
    from = Math.max(0, to - width);
    const found: PlacedEvent[] = [];
    for await (const event of events.read(filter, from, to)) found.push(event);
    last = [...found, ...last];
  }
  for (const event of count === 0 ? [] : last.slice(-count)) show(event);
  return size;
}

async function* asLines(
  events: AsyncIterable<PlacedEvent>,
  form: (event: PlacedEvent) => object,
): AsyncGenerator<string> {
  for await (const event of events) yield `${JSON.stringify(form(event))}\n`;
}

function eventsInWords(events: readonly PlacedEvent[]): string {
  if (events.length === 0) return 'no events';
  return table([
    ['PLACE', 'TIME', 'EVENT', 'REQUEST', 'ACTOR', 'ACTION', 'TIER', 'REASONS'],
    ...events.map(cellsOf),
  ]);
}

function cellsOf(event: PlacedEvent): readonly string[] {
  return [
    String(event.index),
    event.time.toISOString().slice(0, 19).replace('T', ' '),
    event.type,
    visible(event.requestId ?? ''),
    shortName(event.actor ?? ''),
    visible(event.action ?? ''),
    event.tier ?? '',
    event.reasons.map(visible).join(', '),
  ];
}
