import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Counter, Gauge, Registry } from 'prom-client';
import { LogDirectory } from '../../adapters/audit-log/log-directory';
import { LogPublisher } from '../../adapters/audit-log/log-publisher';
import { parseSignerKey } from '../../adapters/audit-log/note-key';
import { PostgresAuditLeaves } from '../../adapters/postgres/audit-leaves';
import type { AtbError } from '../../domain/error';
import { isAtbError } from '../../domain/error';
import type { LogConfiguration } from './configuration';

export interface Log {
  readonly metrics: Registry;
  /** Whether the last round went well. */
  readonly isReady: () => boolean;
  /** Ends when it is stopped; rejects where going on would sign what is not so. */
  readonly ended: Promise<void>;
  /** Publishes once more what there is, then ends; `ended` tells how. */
  stop(): Promise<void>;
}

/**
 * Seals the audit log, round by round. Where the database or the store is out of reach it tries again in the next round;
 * where they tell different stories it ends: a person has to look.
 */
export async function startLog(
  configuration: Omit<LogConfiguration, 'admin'>,
  onTrouble: (error: AtbError) => void,
): Promise<Log> {
  const signer = parseSignerKey((await readFile(configuration.keyFile, 'utf8')).trim());
  const leaves = new PostgresAuditLeaves((await readFile(configuration.databaseUrlFile, 'utf8')).trim());
  const publisher = new LogPublisher({
    ...{ leaves, store: new LogDirectory(configuration.directory), signer },
    checkpointEntries: configuration.checkpointEvents,
  });
  const metrics = new Registry();
  const size = new Gauge({
    name: 'atb_log_size',
    help: 'Events in the last checkpoint',
    registers: [metrics],
  });
  const sealedAt = new Gauge({
    name: 'atb_log_sealed_timestamp_seconds',
    help: 'When all that was recorded was last found to be sealed',
    registers: [metrics],
  });
  const failed = new Counter({
    name: 'atb_log_rounds_failed_total',
    help: 'Rounds that ended without a checkpoint, the database or the store being out of reach',
    registers: [metrics],
  });
  const stopping = new AbortController();
  let ready = false;

  const round = async () => {
    try {
      size.set((await publisher.publish()).size);
      sealedAt.setToCurrentTime();
      ready = true;
    } catch (error) {
      ready = false;
      if (!isAtbError(error) || error.code !== 'audit_unavailable') throw error;
      failed.inc();
      onTrouble(error);
    }
  };
  const rounds = async () => {
    try {
      while (!stopping.signal.aborted) {
        await round();
        await sleep(configuration.checkpointSeconds * 1_000, undefined, { signal: stopping.signal }).catch(
          () => undefined,
        );
      }
      await round();
    } finally {
      await leaves.end();
    }
  };
  const ended = rounds();
  return {
    metrics,
    isReady: () => ready,
    ended,
    async stop() {
      stopping.abort();
      await ended.catch(() => undefined);
    },
  };
}
