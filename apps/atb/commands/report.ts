import { InvalidArgumentError, Option } from 'commander';
import type { Command } from 'commander';
import { PostgresAuditEvents } from '../../../adapters/postgres/audit-events';
import { formatReport, REPORT_FORMATS } from '../../../adapters/report/monthly-formats';
import type { ReportFormat } from '../../../adapters/report/monthly-formats';
import { monthOf, MonthlyTally } from '../../../domain/monthly-report';
import { writeMadeFile } from '../made-file';
import type { Surroundings } from '../output';
import { inSession, withCommonOptions } from '../session';
import type { CommonOptions } from '../session';
import { auditKeys, databaseUrl } from './audit-store';

interface Options extends CommonOptions {
  readonly month?: string;
  readonly format: ReportFormat;
  readonly out?: string;
  readonly databaseUrlFile?: string;
  readonly auditKeysFile?: string;
}

/** `atb report`: what Security reviews (operating model §1). */
export function registerReport(program: Command, surroundings: Surroundings): void {
  const report = program.command('report').description('reports from the audit log');
  withCommonOptions(report.command('monthly'))
    .description('what a month of mandates was like, for whoever reviews it')
    .option('--month <month>', 'which, as 2026-11; the one that is over unless told', month)
    .addOption(new Option('--format <format>', 'as what').choices(REPORT_FORMATS).default('md'))
    .option('--out <file>', 'into this file instead of stdout')
    .option('--database-url-file <file>', 'a file with the PostgreSQL URL (ATB_DATABASE_URL_FILE)')
    .option('--audit-keys-file <file>', 'the master keys of personal data (ATB_AUDIT_KEYS_FILE)')
    .addHelpText(
      'after',
      `
Mandates by tier, agent, approver and action; denials by reason; escalations; how long approval took; broken glass; what
is still to be reviewed. Approvers are named where the audit keys are there, and they were not erased.

Examples:
  atb report monthly
  atb report monthly --month 2026-11 --format html --out november.html`,
    )
    .action(async (options: Options) => {
      await inSession(surroundings, options, async (session) => {
        const tally = new MonthlyTally(options.month ?? lastMonth(session.now));
        const events = new PostgresAuditEvents(
          await databaseUrl(session, options.databaseUrlFile),
          await auditKeys(session, options.auditKeysFile),
        );
        try {
          for await (const event of events.read({}, 0, await events.size())) tally.add(event);
        } finally {
          await events.end();
        }
        const text = formatReport(tally.report(), options.format, session.now);
        if (options.out === undefined) surroundings.out(text);
        else await writeMadeFile(options.out, [text], { replace: true });
      });
    });
}

function month(text: string): string {
  try {
    monthOf(text);
    return text;
  } catch {
    throw new InvalidArgumentError('A month like 2026-11, please.');
  }
}

function lastMonth(now: Date): string {
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - 1, 1)).toISOString().slice(0, 7);
}
