import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { constants, fstatSync, openSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import SonicBoom from 'sonic-boom';
import { accessRecord } from '../../domain/access';
import type { Access } from '../../domain/access';
import type { Exporter } from './exporter';
import { beginOf, removeSegment, segmentName, segmentsOf } from './segments';

export interface AccessLogOptions {
  readonly stdout: boolean;
  /** A folder of this process's own; undefined where nothing is kept. */
  readonly folder: string | undefined;
  /** How large a file becomes before the next one is begun; each day begins one too. */
  readonly segmentBytes: number;
  /** Of all files together: above it the oldest goes, exported or not. */
  readonly mostBytes: number;
}

/** Told what becomes of lines. */
export interface AccessLogWatch {
  written(): void;
  /** `where` is `stdout`, `file`, or the name of an exporter that had not got them yet. */
  dropped(where: string, lines: number): void;
  trouble(message: string): void;
}

const CLOSED_WITHIN_MS = 2_000;

interface OpenSegment {
  readonly stream: SonicBoom;
  readonly name: string;
  /** On which it was begun, by the clock; its name may be later, where the clock went back. */
  readonly day: string;
  bytes: number;
  /** Lines that were not written through yet. */
  waiting: number;
}

// A disk that is full stays so for a while: one try in this time, and no file for each line.
const TRY_AGAIN_MS = 1_000;
// What waits for a disk or a pipe that does not take it; above it lines are dropped, and calls are answered all the same.
const MOST_WAITING_BYTES = 4 * 1024 * 1024;

/**
 * The access log: a line of JSON for each call, to standard output and to files that are begun anew by size and by day
 * (UTC). Writing never waits: a call is answered whatever the disk, the pipe or an exporter does. The files are the
 * exporters' queue, and what is kept (operating model §6).
 */
export class AccessLog {
  private readonly stdout: SonicBoom | undefined;
  private current: OpenSegment | undefined;
  /** After a fault of the disk: lines are dropped until then. */
  private triesAgainAt = 0;
  private closed = false;
  private lastName = '';
  /** Segments that lines are still on their way to. */
  private readonly unfinished = new Set<string>();
  private tidying: Promise<void> = Promise.resolve();
  private readonly closing = new Set<Promise<unknown>>();

  private constructor(
    private readonly options: AccessLogOptions,
    private readonly watch: AccessLogWatch,
    private readonly exporters: readonly Exporter[],
    private readonly clock: () => Date,
  ) {
    if (options.stdout) {
      this.stdout = this.streamTo({ fd: stdoutDescriptor() }, 'stdout');
      this.stdout.on('error', (error: Error) => {
        watch.trouble(`the access log cannot be written to stdout: ${error.message}`);
      });
    }
  }

  static async open(
    options: AccessLogOptions,
    watch: AccessLogWatch,
    exporters: readonly Exporter[] = [],
    clock: () => Date = () => new Date(),
  ): Promise<AccessLog> {
    const log = new AccessLog(options, watch, exporters, clock);
    if (options.folder !== undefined) {
      await mkdir(options.folder, { recursive: true, mode: 0o750 });
      log.lastName = (await segmentsOf(options.folder)).at(-1)?.name ?? '';
      for (const exporter of exporters) exporter.start((segment) => !log.unfinished.has(segment));
    }
    return log;
  }

  write(access: Access): void {
    if (this.closed) return;
    const line = `${JSON.stringify(accessRecord(access))}\n`;
    this.watch.written();
    this.stdout?.write(line);
    if (this.options.folder === undefined) return;
    const bytes = Buffer.byteLength(line);
    const segment = this.segmentFor(bytes, this.options.folder);
    if (!segment) {
      this.watch.dropped('file', 1);
      return;
    }
    segment.bytes += bytes;
    segment.waiting += 1;
    segment.stream.write(line);
    for (const exporter of this.exporters) exporter.wake();
  }

  /**
   * Writes what waits, for a while: a disk or a pipe that takes nothing holds up no shutdown. Exporters go on from where
   * they are at the next start.
   */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    if (this.current) this.end(this.current.stream);
    if (this.stdout) this.end(this.stdout);
    const late = sleep(CLOSED_WITHIN_MS, 'late', { ref: false });
    if ((await Promise.race([Promise.all(this.closing), late])) === 'late') {
      this.watch.trouble('the access log ends without its last lines: nobody takes them');
      this.current?.stream.destroy();
      this.stdout?.destroy();
    }
    await this.tidying;
    await Promise.all(this.exporters.map((exporter) => exporter.stop()));
  }

  private segmentFor(bytes: number, folder: string): OpenSegment | undefined {
    const now = this.clock();
    const { current } = this;
    if (current?.day === dayOf(now) && current.bytes + bytes <= this.options.segmentBytes) return current;
    if (current) this.end(current.stream);
    this.current = performance.now() < this.triesAgainAt ? undefined : this.begin(now, folder);
    return this.current;
  }

  private begin(now: Date, folder: string): OpenSegment {
    const name = this.nextName(now);
    const stream = this.streamTo({ dest: join(folder, name), mode: 0o640 }, 'file');
    const segment = { stream, name, day: dayOf(now), bytes: 0, waiting: 0 };
    const finished = () => {
      this.unfinished.delete(name);
      for (const exporter of this.exporters) exporter.wake();
      this.tidyIn(folder);
    };
    this.unfinished.add(name);
    stream.on('drain', () => {
      segment.waiting = 0;
    });
    stream.once('close', finished);
    stream.once('error', (error: Error) => {
      this.watch.trouble(`the access log cannot be written to ${folder}: ${error.message}`);
      this.watch.dropped('file', segment.waiting);
      this.triesAgainAt = performance.now() + TRY_AGAIN_MS;
      if (this.current === segment) this.current = undefined;
      // Later ones are of the same fault.
      stream.on('error', () => undefined);
      stream.destroy();
      finished();
    });
    this.tidyIn(folder);
    return segment;
  }

  /** Later than every one before, whatever the clock does. */
  private nextName(now: Date): string {
    const last = beginOf(this.lastName)?.getTime() ?? 0;
    this.lastName = segmentName(new Date(Math.max(now.getTime(), last + 1)));
    return this.lastName;
  }

  private tidyIn(folder: string): void {
    this.tidying = this.tidying.then(() => this.tidy(folder));
  }

  /** Removes the oldest files until the rest is within the bound; what lines are still on their way to stays. */
  private async tidy(folder: string): Promise<void> {
    try {
      const segments = [...(await segmentsOf(folder))];
      let total = segments.reduce((sum, { bytes }) => sum + bytes, 0);
      for (const { name, bytes } of segments) {
        if (total <= this.options.mostBytes || this.unfinished.has(name)) break;
        for (const exporter of this.exporters) {
          const lost = await exporter.linesLeftIn(name);
          if (lost > 0) this.watch.dropped(exporter.name, lost);
        }
        await removeSegment(folder, name);
        total -= bytes;
      }
    } catch (error) {
      this.watch.trouble(`the access log's files cannot be tidied: ${(error as Error).message}`);
    }
  }

  private streamTo(target: { fd: number } | { dest: string; mode: number }, where: string): SonicBoom {
    const stream = new SonicBoom({ ...target, sync: false, maxLength: MOST_WAITING_BYTES });
    stream.on('drop', () => {
      this.watch.dropped(where, 1);
    });
    return stream;
  }

  private end(stream: SonicBoom): void {
    const closed = once(stream, 'close')
      .catch(() => undefined)
      .finally(() => this.closing.delete(closed));
    this.closing.add(closed);
    stream.end();
  }
}

/** A pipe of our own to write to: a write to one that nobody empties blocks, and then the process cannot even exit. */
function stdoutDescriptor(): number {
  if (!fstatSync(1).isFIFO()) return 1;
  try {
    return openSync('/proc/self/fd/1', constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    // Not on Linux.
    return 1;
  }
}

function dayOf(now: Date): string {
  return now.toISOString().slice(0, 10);
}
