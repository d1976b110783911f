import type { Command } from 'commander';
import { NotificationOutbox } from '../../../adapters/postgres/notification-outbox';
import type { ErrandStanding } from '../../../adapters/postgres/notification-outbox';
import { visible } from '../../../domain/foreign-text';
import type { JsonObject } from '../../../domain/json';
import { moment } from '../moment';
import { table } from '../output';
import type { Surroundings } from '../output';
import { UsageError } from '../refusal';
import { inSession, withCommonOptions } from '../session';
import type { CommonOptions, Session } from '../session';
import { positiveNumber } from '../whole-number';
import { databaseUrl } from './audit-store';

interface Options extends CommonOptions {
  readonly databaseUrlFile?: string;
  readonly state?: string;
  readonly limit: number;
  readonly all?: boolean;
}

const STATES = ['waiting', 'told', 'dead'] as const;
const LIMIT = 50;

/** `atb notifications`: what could not be told, and another try. */
export function registerNotifications(program: Command, surroundings: Surroundings): void {
  const notifications = program.command('notifications').description('look after notifications');
  withDatabase(notifications.command('ls'))
    .description('list notifications, newest first; `--state dead` is the dead-letter list')
    .option('--state <state>', STATES.join(', '))
    .option('--limit <n>', 'at most so many', positiveNumber, LIMIT)
    .addHelpText('after', '\nExamples:\n  atb notifications ls --state dead\n  atb notifications ls --json')
    .action(async (options: Options) => {
      await inSession(surroundings, options, async (session) => {
        const state = STATES.find((known) => known === options.state);
        if (options.state !== undefined && state === undefined) {
          throw new UsageError(`--state is one of ${STATES.join(', ')}`);
        }
        const errands = await inOutbox(session, options, (outbox) =>
          outbox.list({ limit: options.limit, ...(state !== undefined && { state }) }),
        );
        session.output.answer({ notifications: errands.map(errandJson) }, inWords(errands, session.now));
      });
    });
  withDatabase(notifications.command('retry'))
    .argument('[notification-id]')
    .description('give a dead letter another life; the worker tells it again')
    .option('--all', 'every dead letter')
    .addHelpText(
      'after',
      '\nExamples:\n  atb notifications retry KqzVb…/poa_escalated/0/0\n  atb notifications retry --all',
    )
    .action(async (id: string | undefined, options: Options) => {
      await inSession(surroundings, options, async (session) => {
        if ((id === undefined) !== (options.all === true))
          throw new UsageError('name one notification, or say --all');
        const retried = await inOutbox(session, options, (outbox) => outbox.retry(id));
        session.output.answer(
          { retried },
          retried === 0
            ? id === undefined
              ? 'there are no dead letters'
              : 'there is no such dead letter'
            : `${retried} to be told again`,
        );
      });
    });
}

function withDatabase(command: Command): Command {
  return withCommonOptions(command).option(
    '--database-url-file <file>',
    'a file with the PostgreSQL URL (ATB_DATABASE_URL_FILE)',
  );
}

async function inOutbox<T>(
  session: Session,
  options: Options,
  work: (outbox: NotificationOutbox) => Promise<T>,
): Promise<T> {
  const outbox = new NotificationOutbox(await databaseUrl(session, options.databaseUrlFile));
  try {
    return await work(outbox);
  } finally {
    await outbox.end();
  }
}

function errandJson(errand: ErrandStanding): JsonObject {
  const { id, channel, notification, createdAt, attempts, state, nextAttemptAt, lastError } = errand;
  return {
    id,
    channel,
    kind: notification.kind,
    request_id: notification.requestId,
    roles: notification.roles,
    state,
    attempts,
    created_at: createdAt.toISOString(),
    next_attempt_at: state === 'waiting' ? nextAttemptAt.toISOString() : null,
    last_error: lastError,
  };
}

function inWords(errands: readonly ErrandStanding[], now: Date): string {
  if (errands.length === 0) return 'none';
  return table([
    ['STATE', 'CHANNEL', 'NOTIFICATION', 'TRIED', 'NEXT', 'WHY'],
    ...errands.map(({ state, channel, id, attempts, nextAttemptAt, lastError }) => [
      state,
      visible(channel),
      visible(id),
      String(attempts),
      state === 'waiting' ? moment(nextAttemptAt, now) : '',
      visible(lastError ?? ''),
    ]),
  ]);
}
