import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readSegment, segmentsOf } from './segments';

/** A store of access logs that takes lines over HTTPS. Throws where it took none of them. */
export interface Destination {
  readonly name: string;
  send(lines: readonly LineRecord[]): Promise<Delivery>;
}

/** What is certain of a line; the rest of it is as it was written. */
export interface LineRecord {
  readonly time: string;
  readonly id: string;
  readonly process: string;
  readonly [member: string]: unknown;
}

export interface Delivery {
  /** Those that it wants again later. */
  readonly again: readonly LineRecord[];
  /** Why each of those that it will never take was refused. */
  readonly refused: readonly string[];
  /** When it wants to be asked again. */
  readonly retryAfterSeconds?: number;
}

/** The destination takes nothing now: asked again later. */
export class NotNow extends Error {
  constructor(
    message: string,
    readonly retryAfterSeconds?: number,
  ) {
    super(message);
  }
}

/** The batch is too large, or something in it is wrong and it is not said what: halves are tried. */
export class TryLess extends Error {}

export interface ExporterWatch {
  exported(name: string, lines: number): void;
  refused(name: string, lines: number): void;
  trouble(message: string): void;
}

interface Cursor {
  readonly segment: string;
  readonly offset: number;
}

export interface ExporterPace {
  readonly batchLines: number;
  readonly batchBytes: number;
  readonly firstPauseMs: number;
  readonly longestPauseMs: number;
}

export const PACE: ExporterPace = {
  batchLines: 500,
  batchBytes: 1024 * 1024,
  firstPauseMs: 1_000,
  longestPauseMs: 60_000,
};

// A line that was missed is seen then.
const LOOK_EVERY_MS = 2_000;
const NEWLINE = 0x0a;

/**
 * Sends the lines of a folder's files to one destination, in order, at least once. Where it is, is written down after
 * each batch that was taken: a crash sends that batch again. While the destination takes nothing, the files are the
 * queue.
 */
export class Exporter {
  private readonly cursorFile: string;
  private cursor: Cursor = { segment: '', offset: 0 };
  private running: Promise<void> = Promise.resolve();
  private stopped = false;
  private isFinished: (segment: string) => boolean = () => false;
  private roused: () => void = () => undefined;

  constructor(
    private readonly folder: string,
    private readonly destination: Destination,
    private readonly watch: ExporterWatch,
    private readonly pace: ExporterPace = PACE,
  ) {
    this.cursorFile = join(folder, `${destination.name}.cursor.json`);
  }

  get name(): string {
    return this.destination.name;
  }

  /** `isFinished` says of a segment that nothing is written to it any more. */
  start(isFinished: (segment: string) => boolean): void {
    this.isFinished = isFinished;
    this.running = this.run();
  }

  /** There is something new. */
  wake(): void {
    this.roused();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.wake();
    await this.running;
  }

  /** How many lines of a segment were not taken yet. */
  async linesLeftIn(segment: string): Promise<number> {
    if (segment < this.cursor.segment) return 0;
    let offset = segment === this.cursor.segment ? this.cursor.offset : 0;
    let lines = 0;
    for (;;) {
      const bytes = await readSegment(this.folder, segment, offset, this.pace.batchBytes);
      if (!bytes || bytes.length === 0) return lines;
      lines += bytes.reduce((sum, byte) => (byte === NEWLINE ? sum + 1 : sum), 0);
      offset += bytes.length;
    }
  }

  private async run(): Promise<void> {
    let recalled = false;
    for (let failures = 0; !this.stopped;) {
      try {
        if (!recalled) await this.recall();
        recalled = true;
        const { lines, cursor } = await this.next();
        if (lines.length > 0 && !(await this.deliver(this.readable(lines)))) return;
        if (cursor === this.cursor) await this.pause(LOOK_EVERY_MS, true);
        else await this.remember(cursor);
        failures = 0;
      } catch (error) {
        failures += 1;
        this.watch.trouble(`${this.name}: ${(error as Error).message}`);
        await this.pause(this.pauseAfter(failures, undefined), false);
      }
    }
  }

  /** Until each line was taken or refused for good; false where the process ends before. */
  private async deliver(lines: readonly LineRecord[]): Promise<boolean> {
    let waiting = lines;
    for (let failures = 0; waiting.length > 0 && !this.stopped;) {
      let retryAfter: number | undefined;
      try {
        const { again, refused, retryAfterSeconds } = await this.send(waiting);
        const taken = waiting.length - again.length - refused.length;
        if (taken > 0) this.watch.exported(this.name, taken);
        if (refused.length > 0) {
          this.watch.refused(this.name, refused.length);
          this.watch.trouble(`${this.name} refused ${refused.length} lines: ${refused[0] ?? ''}`);
        }
        failures = taken > 0 ? 0 : failures;
        retryAfter = retryAfterSeconds;
        waiting = again;
      } catch (error) {
        retryAfter = error instanceof NotNow ? error.retryAfterSeconds : undefined;
        this.watch.trouble(`${this.name}: ${(error as Error).message}`);
      }
      if (waiting.length === 0) break;
      failures += 1;
      await this.pause(this.pauseAfter(failures, retryAfter), false);
    }
    return waiting.length === 0;
  }

  /** Without what a disk has damaged. */
  private readable(lines: readonly string[]): readonly LineRecord[] {
    const records = lines.map(recordIn).filter((record) => record !== undefined);
    if (records.length < lines.length) {
      this.watch.refused(this.name, lines.length - records.length);
      this.watch.trouble(`${this.name}: ${lines.length - records.length} lines are damaged, and left out`);
    }
    return records;
  }

  private async send(lines: readonly LineRecord[]): Promise<Delivery> {
    try {
      return await this.destination.send(lines);
    } catch (error) {
      if (!(error instanceof TryLess)) throw error;
      if (lines.length === 1) return { again: [], refused: [error.message] };
      const half = Math.ceil(lines.length / 2);
      const first = await this.send(lines.slice(0, half));
      // What was taken of the first half stands, whatever becomes of the second.
      const second = await this.send(lines.slice(half)).catch((): Delivery => ({
        again: lines.slice(half),
        refused: [],
      }));
      return { again: [...first.again, ...second.again], refused: [...first.refused, ...second.refused] };
    }
  }

  private pauseAfter(failures: number, retryAfterSeconds: number | undefined): number {
    const { firstPauseMs, longestPauseMs } = this.pace;
    const grown = firstPauseMs * 2 ** Math.min(failures - 1, 20);
    return Math.min(Math.max(grown, (retryAfterSeconds ?? 0) * 1_000), longestPauseMs);
  }

  /** The whole lines after the cursor, and where it is after them. */
  private async next(): Promise<{ readonly lines: readonly string[]; readonly cursor: Cursor }> {
    const segments = await segmentsOf(this.folder);
    const { segment, offset } = this.cursor;
    const here = segments.find(({ name }) => name >= segment);
    if (!here) return { lines: [], cursor: this.cursor };
    if (segment !== '' && here.name !== segment) {
      // Where nobody took it for as long as it is kept, retention does not wait.
      this.watch.trouble(
        `${this.name}: ${segment} was removed; what it had after byte ${offset}, and the files up to ${here.name}, were not sent`,
      );
      return { lines: [], cursor: { segment: here.name, offset: 0 } };
    }
    // Asked before reading: what is finished has no more lines than are read now.
    const finished = this.isFinished(here.name);
    const from = here.name === segment ? offset : 0;
    const bytes = (await readSegment(this.folder, here.name, from, this.pace.batchBytes)) ?? Buffer.alloc(0);
    const { lines, length } = wholeLines(bytes, this.pace.batchLines);
    if (lines.length > 0) return { lines, cursor: { segment: here.name, offset: from + length } };
    if (bytes.length === this.pace.batchBytes) {
      this.watch.trouble(`${this.name}: ${here.name} has something in it that is no line, and is left out`);
      return { lines, cursor: { segment: here.name, offset: from + bytes.length } };
    }
    const after = finished ? segments.find(({ name }) => name > here.name) : undefined;
    // A crash may have cut the last line off: it has no end, and the next file was begun after it.
    return { lines, cursor: after ? { segment: after.name, offset: 0 } : this.cursor };
  }

  private async recall(): Promise<void> {
    let text: string;
    try {
      text = await readFile(this.cursorFile, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      throw error;
    }
    const { segment, offset } = JSON.parse(text) as Partial<Cursor>;
    if (typeof segment !== 'string' || !Number.isSafeInteger(offset)) {
      throw new Error(`${this.cursorFile} is no cursor: remove it to send everything again`);
    }
    this.cursor = { segment, offset: offset ?? 0 };
  }

  private async remember(cursor: Cursor): Promise<void> {
    const temporary = `${this.cursorFile}.new`;
    await writeFile(temporary, JSON.stringify(cursor));
    await rename(temporary, this.cursorFile);
    this.cursor = cursor;
  }

  private pause(ms: number, wakes: boolean): Promise<void> {
    return new Promise((resolve) => {
      if (this.stopped) {
        resolve();
        return;
      }
      const timer = setTimeout(resolve, ms);
      this.roused = () => {
        if (!wakes && !this.stopped) return;
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

function wholeLines(
  bytes: Buffer,
  most: number,
): { readonly lines: readonly string[]; readonly length: number } {
  const lines: string[] = [];
  let start = 0;
  for (
    let end = bytes.indexOf(NEWLINE);
    end >= 0 && lines.length < most;
    end = bytes.indexOf(NEWLINE, start)
  ) {
    lines.push(bytes.toString('utf8', start, end));
    start = end + 1;
  }
  return { lines, length: start };
}

function recordIn(line: string): LineRecord | undefined {
  try {
    const record = JSON.parse(line) as Partial<LineRecord> | null;
    const isWhole = typeof record?.id === 'string' && !Number.isNaN(Date.parse(record.time ?? ''));
    return isWhole ? (record as LineRecord) : undefined;
  } catch {
    return undefined;
  }
}
