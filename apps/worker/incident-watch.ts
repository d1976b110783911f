import { Logger } from '@nestjs/common';
import { Client } from '@temporalio/client';
import type { ConnectionLike } from '@temporalio/client';
import type { PostgresIncidentWatch } from '../../adapters/postgres/incident-watch';
import type { CodecKeys } from '../../adapters/temporal/codec-keys';
import { sealedDataConverter } from '../../adapters/temporal/data-converter';
import { IncidentWindows } from '../../domain/incident-watch';
import type { WatchedReport } from '../../domain/incident-watch';
import type { PolicyEngine } from '../../domain/ports';
import { reportIncident } from '../incident-report';

const TRY_AGAIN_SECONDS = 5;
// The place in the log is held meanwhile.
const REPORT_MS = 7_000;
/** Of one report: more would be a large payload, and the rest follows as sightings. */
const MOST_TOLD = 100;

/** Opens incidents by what the audit log tells, as policy says (operating model §5). */
export class IncidentWatch {
  private readonly log = new Logger(IncidentWatch.name);
  private again: NodeJS.Timeout | undefined;
  private looking: Promise<void> = Promise.resolve();
  private closed = false;

  constructor(
    private readonly policy: Pick<PolicyEngine, 'incidentWatch'>,
    private readonly events: Pick<PostgresIncidentWatch, 'next'>,
    private readonly report: (report: WatchedReport) => Promise<void>,
  ) {}

  start(): void {
    this.looking = this.look()
      .catch((error: unknown) => {
        this.log.warn(`what the audit log tells opens no incident now: ${String(error)}; looking again`);
        return TRY_AGAIN_SECONDS;
      })
      .then((seconds) => {
        if (this.closed) return;
        this.again = setTimeout(() => {
          this.start();
        }, seconds * 1000);
        this.again.unref();
      });
  }

  /** Resolves when nothing is under way any more. */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.again);
    await this.looking;
  }

  /**
   * Reads on to the end of the log; answers in how many seconds to look again. A report comes before the place is kept:
   * after a crash it is repeated, and its sightings count once.
   */
  async look(): Promise<number> {
    const { rules, intervalSeconds } = await this.policy.incidentWatch();
    const types = [...new Set(rules.flatMap(({ events }) => events))];
    let more = true;
    while (more && !this.closed) {
      more = await this.events.next(types, async (events, kept) => {
        const windows = new IncidentWindows(rules, kept);
        for (const report of windows.see(events)) await this.report(report);
        return windows.state;
      });
    }
    return intervalSeconds;
  }
}

/** Reports to Temporal; the worker's own step holds it against the log before anything is opened. */
export function reporterOver(
  connection: { readonly current: ConnectionLike },
  namespace: string,
  codecKeys: CodecKeys,
): (report: WatchedReport) => Promise<void> {
  return async ({ kind, cause, sightings }) => {
    const client = new Client({
      connection: connection.current,
      namespace,
      dataConverter: sealedDataConverter(codecKeys, 'throw'),
    });
    const report = {
      matter: { kind, cause, severity: null },
      reporter: { source: 'audit', events: sightings.slice(0, MOST_TOLD) },
    } as const;
    for (let from = 0; from < sightings.length; from += MOST_TOLD) {
      const some = sightings.slice(from, from + MOST_TOLD);
      await client.withDeadline(Date.now() + REPORT_MS, () => reportIncident(client, report, some));
    }
  };
}
