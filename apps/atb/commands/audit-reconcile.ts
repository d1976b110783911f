import type { Command } from 'commander';
import { PostgresAuditEvents } from '../../../adapters/postgres/audit-events';
import { recordedWorkflows, retentionSeconds } from '../../../adapters/temporal/recorded-workflows';
import { visible } from '../../../domain/foreign-text';
import type { Json } from '../../../domain/json';
import { differencesBetween } from '../../../domain/reconciliation';
import type { LoggedRequest, LoggedWorkflow } from '../../../domain/reconciliation';
import { POA_REQUEST, requestIdOf } from '../../../workflows/contract';
import { EXIT } from '../exit';
import { table } from '../output';
import type { Surroundings } from '../output';
import { inSession, withCommonOptions } from '../session';
import type { CommonOptions } from '../session';
import { withTemporal } from '../temporal';
import { wholeNumber } from '../whole-number';
import { databaseUrl } from './audit-store';

interface Options extends CommonOptions {
  readonly databaseUrlFile?: string;
  readonly settled: number;
}

const SETTLED_SECONDS = 60;

/** The types of events that begin and end a request, with the state that each ends it in. */
const ENDS: Readonly<Record<string, string | null>> = {
  poa_requested: null,
  poa_issued: 'issued',
  poa_issued_dual_control: 'issued',
  poa_denied: 'denied',
  poa_rejected: 'rejected',
  poa_withdrawn: 'withdrawn',
  poa_expired: 'expired',
  poa_cancelled: 'cancelled',
  poa_terminated: 'terminated',
};
const USED = 'poa_redeemed';

/** `atb audit reconcile`: Temporal's workflows against the log, both ways. */
export function registerReconcile(audit: Command, surroundings: Surroundings): void {
  withCommonOptions(audit.command('reconcile'))
    .description("hold Temporal's workflows and the audit log against each other")
    .option('--database-url-file <file>', 'a file with the PostgreSQL URL (ATB_DATABASE_URL_FILE)')
    .option('--settled <seconds>', 'leave out what is newer than so', wholeNumber, SETTLED_SECONDS)
    .addHelpText(
      'after',
      `
Each finished request has its events with the same end, and each event its workflow, as far back as Temporal remembers;
and each mandate that the broker took was issued.
It ends with 0 where that is so, and with 1 where it is not; then it names each difference.

Example:
  atb audit reconcile --json`,
    )
    .action(async (options: Options) => {
      await inSession(surroundings, options, async (session) => {
        const settledBefore = new Date(session.now.getTime() - options.settled * 1000);
        const { workflows, retention } = await withTemporal(session, async ({ connection, namespace }) => ({
          workflows: byRequest(await recordedWorkflows(connection, namespace, POA_REQUEST)),
          retention: await retentionSeconds(connection, namespace),
        }));
        const events = new PostgresAuditEvents(await databaseUrl(session, options.databaseUrlFile));
        try {
          const log = await loggedRequests(events);
          const rememberedSince =
            retention === null ? null : new Date(session.now.getTime() - retention * 1000);
          const differences = differencesBetween(workflows, log, { settledBefore, rememberedSince });
          session.output.answer(
            {
              ...{ workflows: workflows.size, requests: log.size },
              differences: differences.map(({ requestId, kind, detail }) => ({
                ...{ request_id: requestId, kind, detail },
              })),
            },
            differences.length === 0
              ? `no differences: ${workflows.size} workflows in Temporal, ${log.size} requests in the log`
              : table([
                  ['REQUEST', 'DIFFERENCE', ''],
                  ...differences.map(({ requestId, kind, detail }) => [
                    visible(requestId),
                    kind,
                    visible(detail),
                  ]),
                ]),
          );
          process.exitCode = differences.length === 0 ? EXIT.done : EXIT.refused;
        } finally {
          await events.end();
        }
      });
    });
}

function byRequest(workflows: ReadonlyMap<string, LoggedWorkflow>): ReadonlyMap<string, LoggedWorkflow> {
  return new Map(
    [...workflows].flatMap(([workflowId, workflow]) => {
      const requestId = requestIdOf(workflowId);
      return requestId === undefined ? [] : [[requestId, workflow] as const];
    }),
  );
}

async function loggedRequests(events: PostgresAuditEvents): Promise<ReadonlyMap<string, LoggedRequest>> {
  const log = new Map<string, LoggedRequest>();
  /** By request: the one mandate that was issued. */
  const issued = new Map<string, Json | undefined>();
  const types = [...Object.keys(ENDS), USED];
  for await (const { requestId, type, time, data } of events.read({ types }, 0, await events.size())) {
    if (requestId === null) continue;
    const known = log.get(requestId) ?? { askedAt: time, end: null, endedAt: null, usedUnissued: [] };
    if (type === USED) {
      // It is recorded as issued before anybody has it.
      const { jti } = data;
      if (typeof jti === 'string' && issued.get(requestId) !== jti && !known.usedUnissued.includes(jti)) {
        log.set(requestId, { ...known, usedUnissued: [...known.usedUnissued, jti] });
      }
      continue;
    }
    if (ENDS[type] === 'issued') issued.set(requestId, data.jti);
    const end = ENDS[type] ?? null;
    // A mandate that was issued stays issued, whatever was refused afterwards.
    if (end === null || known.end === 'issued') log.set(requestId, known);
    else log.set(requestId, { ...known, end, endedAt: time });
  }
  return log;
}
