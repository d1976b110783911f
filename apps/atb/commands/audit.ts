import type { Command } from 'commander';
import { PostgresLedger } from '../../../adapters/postgres/ledger';
import { AUDIT_EVENT_TYPES } from '../../../domain/audit-event';
import type { StoredAuditEvent } from '../../../domain/audit-event';
import type { JsonObject } from '../../../domain/json';
import { visible } from '../../../domain/foreign-text';
import { table } from '../output';
import type { Surroundings } from '../output';
import { registerAuditKey } from './audit-key';
import { registerAuditProve } from './audit-prove';
import { registerAuditVerify } from './audit-verify';
import { UsageError } from '../refusal';
import { inSession, withCommonOptions } from '../session';
import type { CommonOptions } from '../session';
import { wholeNumber } from '../whole-number';
import { shortName } from '../words';
import { registerErase } from './audit-erase';
import { auditKeys, databaseUrl } from './audit-store';

interface Options extends CommonOptions {
  readonly databaseUrlFile?: string;
  readonly request?: string;
  readonly type?: string;
  readonly after?: number;
  readonly limit: number;
}

const LIMIT = 100;

/** `atb audit ls`: the audit log, from PostgreSQL. */
export function registerAudit(program: Command, surroundings: Surroundings): void {
  const audit = program.command('audit').description('read the audit log');
  registerAuditVerify(audit, surroundings);
  registerAuditProve(audit, surroundings);
  registerAuditKey(audit, surroundings);
  registerErase(audit, surroundings);
  withCommonOptions(audit.command('ls'))
    .description('list audit events, oldest first')
    .option('--database-url-file <file>', 'a file with the PostgreSQL URL (ATB_DATABASE_URL_FILE)')
    .option('--request <request-id>', 'events of this request')
    .option('--type <type>', AUDIT_EVENT_TYPES.join(', '))
    .option('--after <seq>', 'events after this place in the log', wholeNumber)
    .option('--limit <n>', 'at most so many', wholeNumber, LIMIT)
    .addHelpText(
      'after',
      `
Examples:
  atb audit ls
  atb audit ls --type poa_issued_dual_control --json
  atb audit ls --request KqzVb…`,
    )
    .action(async (options: Options) => {
      await inSession(surroundings, options, async (session) => {
        requireKnownType(options.type);
        const ledger = new PostgresLedger(
          await databaseUrl(session, options.databaseUrlFile),
          await auditKeys(session, undefined),
        );
        try {
          const events = await ledger.events({
            limit: options.limit,
            ...(options.request !== undefined && { requestId: options.request }),
            ...(options.type !== undefined && { type: options.type }),
            ...(options.after !== undefined && { afterSeq: options.after }),
          });
          session.output.answer({ events: events.map(eventJson) }, eventsInWords(events));
          const last = events.at(-1);
          if (last && events.length === options.limit) {
            session.output.note(`there may be more: --after ${last.seq}`);
          }
        } finally {
          await ledger.end();
        }
      });
    });
}

function requireKnownType(type: string | undefined): void {
  if (type === undefined || AUDIT_EVENT_TYPES.some((known) => known === type)) return;
  throw new UsageError(
    `there is no event type "${visible(type)}"; there are ${AUDIT_EVENT_TYPES.join(', ')}`,
  );
}

function eventJson(event: StoredAuditEvent): JsonObject {
  return {
    seq: event.seq,
    id: event.id,
    type: event.type,
    time: event.time.toISOString(),
    request_id: event.requestId,
    actor: event.actor,
    subject: event.subject,
    action: event.action,
    tier: event.tier,
    reasons: event.reasons,
    data: event.data,
  };
}

function eventsInWords(events: readonly StoredAuditEvent[]): string {
  if (events.length === 0) return 'no events';
  return table([
    ['SEQ', 'TIME', 'EVENT', 'REQUEST', 'ACTOR', 'ACTION', 'TIER', 'REASONS'],
    ...events.map((event) => [
      String(event.seq),
      event.time.toISOString().slice(0, 19).replace('T', ' '),
      event.type,
      visible(event.requestId ?? ''),
      shortName(event.actor ?? ''),
      visible(event.action ?? ''),
      event.tier ?? '',
      event.reasons.map(visible).join(', '),
    ]),
  ]);
}
