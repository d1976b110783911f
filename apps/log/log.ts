import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { LogBucket } from '../../adapters/audit-log/log-bucket';
import { LogDirectory } from '../../adapters/audit-log/log-directory';
import { LogMirror } from '../../adapters/audit-log/log-mirror';
import { LogPublisher } from '../../adapters/audit-log/log-publisher';
import { LogReader } from '../../adapters/audit-log/log-reader';
import type { SealedCheckpoint } from '../../adapters/audit-log/log-reader';
import { parseSignerKey } from '../../adapters/audit-log/note-key';
import { parseTimestampAuthorities, requestTimestamp } from '../../adapters/audit-log/timestamp';
import { cosigning, parseWitness } from '../../adapters/audit-log/witness';
import { PostgresAuditLeaves } from '../../adapters/postgres/audit-leaves';
import type { AtbError } from '../../domain/error';
import { isAtbError } from '../../domain/error';
import { TIMESTAMP_PATH } from '../../domain/log-tile';
import { formatNote, parseNote } from '../../domain/signed-note';
import type { LogConfiguration, TimestampingConfiguration } from './configuration';
import { countedLeaves, EventMetrics } from './event-metrics';
import { mirrorMetrics, sealingMetrics, timestampMetrics, witnessMetrics } from './metrics';

export interface Log {
  readonly metrics: Registry;
  /** Whether the last round went well. */
  readonly isReady: () => boolean;
  /** Ends when it is stopped; rejects where going on would sign what is not so. */
  readonly ended: Promise<void>;
  /** Publishes once more what there is, then ends; `ended` tells how. */
  stop(): Promise<void>;
}

/** The longest pause before a copy that failed is tried again. */
const LONGEST_PAUSE_SECONDS = 300;

/**
 * Seals the audit log, round by round, and copies what is sealed to where nobody can change it. Where the database, the
 * folder or the copy's store is out of reach it tries again; the copy never keeps the sealing waiting. Where they tell
 * different stories it ends: a person has to look.
 */
export async function startLog(
  configuration: Omit<LogConfiguration, 'admin'>,
  onTrouble: (error: AtbError) => void,
): Promise<Log> {
  const signer = parseSignerKey((await readFile(configuration.keyFile, 'utf8')).trim());
  const directory = new LogDirectory(configuration.directory);
  const registry = new Registry();
  /** Tells what may be over the next time; throws what is not. */
  const passing = (error: unknown): void => {
    if (!isAtbError(error) || error.code !== 'audit_unavailable') throw error;
    onTrouble(error);
  };

  const witnesses = configuration.witnesses.map(parseWitness);
  const cosign =
    witnesses.length === 0 ? undefined : cosigning(witnesses, witnessMetrics(registry, onTrouble));
  const { mirror: copying } = configuration;
  const mirror =
    copying &&
    new LogMirror({
      ...{ local: directory, worm: await LogBucket.at(copying.url, copying.environment), keys: [signer] },
      ...{ retentionYears: copying.retentionYears, now: () => new Date() },
    });
  // Before anything is signed: this folder and the database may both be older than the copy.
  let copied: SealedCheckpoint | null = null;
  try {
    copied = (await mirror?.last()) ?? null;
  } catch (error) {
    passing(error);
  }
  let sealedSize = (await new LogReader(directory).checkpoint([signer]))?.size ?? 0;
  let copiedSize = copied?.size ?? 0;

  const leaves = new PostgresAuditLeaves((await readFile(configuration.databaseUrlFile, 'utf8')).trim());
  const publisher = new LogPublisher({
    leaves: countedLeaves(leaves, sealedSize, new EventMetrics(registry)),
    ...{ store: directory, signer, checkpointEntries: configuration.checkpointEvents, cosign },
  });
  if (copied) publisher.extendOnly(copied);
  const stopping = new AbortController();
  const pause = (seconds: number) =>
    sleep(seconds * 1_000, undefined, { signal: stopping.signal }).catch(() => undefined);

  const sealed = sealingMetrics(registry);
  let ready = false;
  const seal = async () => {
    try {
      const size = (await publisher.publish())?.size ?? 0;
      if (!mirror) await directory.prune(sealedSize, size);
      sealedSize = size;
      sealed.size.set(size);
      sealed.sealedAt.setToCurrentTime();
      ready = true;
    } catch (error) {
      ready = false;
      sealed.failed.inc();
      passing(error);
    }
  };
  const sealing = async () => {
    while (!stopping.signal.aborted) {
      await seal();
      await pause(configuration.checkpointSeconds);
    }
    await seal();
  };

  const copyingTo = async (to: LogMirror, seconds: number) => {
    const metrics = mirrorMetrics(registry, () => Math.max(0, sealedSize - copiedSize));
    /** Answers whether the copy is up to date. */
    const copy = async (): Promise<boolean> => {
      try {
        // In this order: what is recorded after the copy was looked at is no less than what the copy has.
        const last = await to.last();
        const next = await publisher.publish();
        if (next) await to.copy(last, next);
        copiedSize = next?.size ?? 0;
        metrics.size.set(copiedSize);
        metrics.copiedAt.setToCurrentTime();
        await directory.prune(last?.size ?? 0, copiedSize);
        return true;
      } catch (error) {
        metrics.failed.inc();
        passing(error);
        return false;
      }
    };
    let failures = 0;
    while (!stopping.signal.aborted) {
      failures = (await copy()) ? 0 : failures + 1;
      await pause(Math.min(seconds * 2 ** failures, Math.max(seconds, LONGEST_PAUSE_SECONDS)));
    }
    if (failures === 0) await copy();
  };

  const stamping = async ({ url, certificateFile, seconds }: TimestampingConfiguration) => {
    const { stampedAt, failed } = timestampMetrics(registry);
    const reader = new LogReader(directory);
    while (!stopping.signal.aborted) {
      try {
        // Read each time: authorities' certificates come to an end.
        const authorities = parseTimestampAuthorities(await readFile(certificateFile, 'utf8'));
        const [last, next] = [await reader.stamped([signer]), await publisher.publish()];
        if (next && next.size > (last?.size ?? 0)) {
          const { text, signatures } = parseNote(next.note);
          const stamp = await requestTimestamp(text, url, authorities);
          const note = formatNote({ text, signatures: [...signatures, stamp] });
          await directory.replace(TIMESTAMP_PATH, Buffer.from(note));
        }
        stampedAt.setToCurrentTime();
      } catch (error) {
        failed.inc();
        passing(error);
      }
      await pause(seconds);
    }
  };

  const parts = [
    sealing(),
    ...(mirror ? [copyingTo(mirror, copying.seconds)] : []),
    ...(configuration.timestamping ? [stamping(configuration.timestamping)] : []),
  ];
  const ended = (async () => {
    const outcomes = await Promise.allSettled(
      parts.map((part) =>
        part.catch((error: unknown) => {
          stopping.abort();
          throw error;
        }),
      ),
    );
    await leaves.end();
    const failure = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failure) throw failure.reason as Error;
  })();
  return {
    metrics: registry,
    isReady: () => ready,
    ended,
    async stop() {
      stopping.abort();
      await ended.catch(() => undefined);
    },
  };
}
