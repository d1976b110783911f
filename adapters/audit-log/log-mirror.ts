import type { Checkpoint } from '../../domain/checkpoint';
import { AtbError, isAtbError } from '../../domain/error';
import { isJsonObject } from '../../domain/json';
import {
  bundlePath,
  CHECKPOINT_PATH,
  formatBundle,
  TILE_WIDTH,
  tilePath,
  TIMESTAMP_PATH,
} from '../../domain/log-tile';
import type { Tile } from '../../domain/log-tile';
import type { LogStore, WormStore } from '../../domain/ports';
import type { NoteVerifier } from '../../domain/signed-note';
import { edgeOf } from '../../domain/tiled-tree';
import { LogReader } from './log-reader';
import type { SealedCheckpoint } from './log-reader';
import { verifyTree } from './log-verifier';

export interface MirrorOptions {
  readonly local: Pick<LogStore, 'read'>;
  readonly worm: WormStore;
  /** The keys of the log's checkpoints. */
  readonly keys: readonly NoteVerifier[];
  /** How long everything is kept after the event, or after it was copied where that is later. */
  readonly retentionYears: number;
  readonly now: () => Date;
}

/** How many files are on their way at once. */
const AT_ONCE = 8;

/**
 * Copies the sealed log to where nothing can be changed or removed. What is locked wrongly would stay for years, so
 * everything is verified before it is copied; a checkpoint follows after all that it covers. There is no state but the
 * copy itself: whatever a crash left half done is found there, and the rest is done.
 */
export class LogMirror {
  private readonly mirrored: LogReader;
  private readonly local: LogReader;
  private isLockKnown = false;
  /** What was found in the copy since its last checkpoint: where a store fails now and then, each try gets further. */
  private readonly found = new Set<string>();

  constructor(private readonly options: MirrorOptions) {
    this.mirrored = new LogReader(options.worm);
    this.local = new LogReader(options.local);
  }

  /** The last checkpoint in the copy. Throws `object_lock_missing` where the copy would not hold. */
  async last(): Promise<SealedCheckpoint | null> {
    if (!this.isLockKnown) await this.options.worm.requireLock();
    this.isLockKnown = true;
    return this.mirrored.checkpoint(this.options.keys);
  }

  /**
   * Copies the log from one checkpoint, which `last` told, to a later one. Throws `audit_log_diverged` where the log
   * does not extend what was copied, or is damaged: nothing of it is copied then.
   */
  async copy(from: SealedCheckpoint | null, to: SealedCheckpoint): Promise<void> {
    await this.copyTree(from, to);
    await this.copyTimestamp(to);
  }

  /** The stamped checkpoint is none after that: what it covers is there. */
  private async copyTimestamp(to: SealedCheckpoint): Promise<void> {
    const { keys, worm, now } = this.options;
    const stamped = await this.local.stamped(keys);
    if (!stamped || stamped.size > to.size) return;
    const before = await this.mirrored.stamped(keys);
    if (before && Buffer.compare(before.note, stamped.note) === 0) return;
    await worm.replace(TIMESTAMP_PATH, stamped.note, this.yearsAfter(now()));
  }

  private yearsAfter(time: Date): Date {
    const later = new Date(time);
    later.setUTCFullYear(later.getUTCFullYear() + this.options.retentionYears);
    return later;
  }

  private async copyTree(from: SealedCheckpoint | null, to: SealedCheckpoint): Promise<void> {
    // The same checkpoint may have been cosigned since.
    if (from && Buffer.compare(from.note, to.note) === 0) return;
    const { worm, now } = this.options;
    let newest = now();
    try {
      await verifyTree(this.local, to, {
        trusted: from ?? undefined,
        onEntry: (entry) => {
          const time = timeOf(entry);
          if (time > newest) newest = time;
        },
      });
    } catch (cause) {
      if (!isAtbError(cause) || cause.code !== 'audit_log_malformed') throw cause;
      throw new AtbError(
        'audit_log_diverged',
        `the log is not what its copy of ${from?.size ?? 0} entries began as: ${cause.message}`,
        { cause },
      );
    }
    const until = this.yearsAfter(newest);
    await allOf(filesBetween(from?.size ?? 0, to), async (file) => {
      const { path, bytes } = await this.contentOf(file);
      if (this.found.has(path)) return;
      await worm.create(path, bytes, until);
      this.found.add(path);
    });
    await worm.replace(CHECKPOINT_PATH, to.note, until);
    this.found.clear();
  }

  /** Taken apart and put together again: where the log dropped a partial file, the full one has what was in it. */
  private async contentOf(file: LogFile): Promise<{ readonly path: string; readonly bytes: Uint8Array }> {
    if (file.kind === 'tile') {
      return { path: tilePath(file), bytes: Buffer.concat(await this.local.tile(file)) };
    }
    const { index, width } = file;
    return { path: bundlePath(index, width), bytes: formatBundle(await this.local.entries(index, width)) };
  }
}

type LogFile = Tile & { readonly kind: 'bundle' | 'tile' };

/** The files of a log at one size that were not all there at a smaller one: the full ones, and those at its edge. */
function* filesBetween(from: number, { size }: Pick<Checkpoint, 'size'>): Generator<LogFile> {
  for (const edge of edgeOf(size)) {
    const { level } = edge;
    for (let index = Math.floor(from / TILE_WIDTH ** (level + 1)); index <= edge.index; index++) {
      const width = index < edge.index ? TILE_WIDTH : edge.width;
      if (width === 0) continue;
      yield { kind: 'tile', level, index, width };
      if (level === 0) yield { kind: 'bundle', level, index, width };
    }
  }
}

/** Does the work for each, some at once, and ends with the first fault. */
async function allOf<T>(items: Iterable<T>, work: (item: T) => Promise<void>): Promise<void> {
  const faults: unknown[] = [];
  const shared = items[Symbol.iterator]();
  const worker = async () => {
    for (let next = shared.next(); !next.done && faults.length === 0; next = shared.next()) {
      await work(next.value).catch((fault: unknown) => faults.push(fault));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  if (faults.length > 0) throw faults[0];
}

/** When an event says that it was; long ago for what says nothing. */
function timeOf(entry: Uint8Array): Date {
  let event: unknown;
  try {
    event = JSON.parse(Buffer.from(entry).toString('utf8'));
  } catch {
    return new Date(0);
  }
  const time = new Date(isJsonObject(event) && typeof event.time === 'string' ? event.time : 0);
  return Number.isNaN(time.getTime()) ? new Date(0) : time;
}
