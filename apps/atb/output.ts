import { createInterface } from 'node:readline';
import type { JsonObject } from '../../domain/json';
import { EXIT } from './exit';

/** What the commands see of the world around them, so that tests can be that world. */
export interface Surroundings {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly now: () => Date;
  /** Answers go here, and nothing else. */
  readonly out: (text: string) => void;
  /** Progress, warnings and errors. */
  readonly err: (text: string) => void;
  readonly input: () => Promise<string>;
  /** Asks a person; undefined where nobody sits at a terminal. */
  readonly ask: ((question: string) => Promise<string>) | undefined;
  /** Calls back at Ctrl-C, until the function it answers is called. */
  readonly onInterrupt: (callback: () => void) => () => void;
}

/** The process itself. */
export function processSurroundings(): Surroundings {
  process.stdout.on('error', answerLost);
  // Nobody is left who could be told.
  process.stderr.on('error', () => undefined);
  const interactive = process.stdin.isTTY && process.stderr.isTTY;
  return {
    environment: process.env,
    now: () => new Date(),
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    input: readInput,
    ask: interactive ? askPerson : undefined,
    onInterrupt: (callback) => {
      process.once('SIGINT', callback);
      return () => process.off('SIGINT', callback);
    },
  };
}

/** Who reads no further (`| head`) has had enough. Anything else, such as a full disk, is no answer. */
function answerLost({ code, message }: NodeJS.ErrnoException): void {
  if (code === 'EPIPE') {
    // After what runs now: it may set how the command ended.
    setImmediate(() => process.exit());
    return;
  }
  process.stderr.write(`atb: the answer cannot be written: ${message}\n`);
  process.exit(EXIT.unavailable);
}

/** Where a command's words go: one JSON document, or text for people. */
export class Output {
  constructor(
    private readonly surroundings: Pick<Surroundings, 'out' | 'err'>,
    readonly json: boolean,
  ) {}

  /** The command's one answer. */
  answer(document: JsonObject, text: string): void {
    this.surroundings.out(this.json ? `${JSON.stringify(document, null, 2)}\n` : text && `${text}\n`);
  }

  /** Progress and remarks, on the error stream. */
  note(text: string): void {
    this.surroundings.err(`${text}\n`);
  }
}

/** Columns as wide as their widest cell. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

async function readInput(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

function askPerson(question: string): Promise<string> {
  const line = createInterface({ input: process.stdin, output: process.stderr });
  return new Promise((resolve) => {
    // Ctrl-C and the end of input are a no.
    line.once('close', () => {
      resolve('');
    });
    line.question(question, (reply) => {
      resolve(reply);
      line.close();
    });
  });
}
