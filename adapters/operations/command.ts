import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';

export interface Command {
  /** An absolute path: no search, no shell. */
  readonly program: string;
  readonly arguments: readonly string[];
  /** Beside PATH; nothing of our own environment goes on. */
  readonly environment: Readonly<Record<string, string>>;
  readonly directory?: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface CommandOutcome {
  /** Null where it was killed. */
  readonly exitCode: number | null;
  readonly why: 'ended' | 'timed out' | 'interrupted';
  /** The end of what it wrote to stdout and stderr. */
  readonly lastWords: string;
  /** Base64url SHA-256 of all that it wrote. */
  readonly outputDigest: string;
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const MOST_LAST_WORDS = 1_500;
const COULD_NOT_START = 127;
const BEAT_MS = 1_000;
const LONGEST_SILENCE_MS = 4_000;

/**
 * Runs the program in a process group of its own and kills that group when its own stdin ends, or is silent for too
 * long: it ends when we say so, and by itself when we are killed or stand still. So nothing goes on that nobody
 * watches, and nothing runs twice at a time.
 */
const KEEPER = `
const { spawn } = require('node:child_process');
const [program, ...args] = process.argv.slice(1);
const child = spawn(program, args, { detached: true, stdio: ['ignore', 'inherit', 'inherit'] });
const killGroup = () => { try { process.kill(-child.pid, 'SIGKILL'); } catch {} };
const end = () => { killGroup(); process.exit(${COULD_NOT_START}); };
let heard = performance.now();
process.stdin.on('end', end).on('error', end).on('data', () => { heard = performance.now(); });
setInterval(() => {
  if (performance.now() - heard < ${LONGEST_SILENCE_MS}) return;
  // What was said while this process itself stood still is heard first.
  setImmediate(() => {
    if (performance.now() - heard < ${LONGEST_SILENCE_MS}) return;
    killGroup();
    process.kill(process.pid, 'SIGKILL');
  });
}, 500);
child.on('error', (error) => { process.stderr.write(error.message); process.exit(${COULD_NOT_START}); });
child.on('exit', (code) => { killGroup(); process.exit(code ?? ${COULD_NOT_START}); });
`;

/** Resolves whatever comes of it; rejects only where no process can be had at all. */
export function runCommand(command: Command): Promise<CommandOutcome> {
  const { program, environment, directory, timeoutMs, signal } = command;
  return new Promise((resolve, reject) => {
    const keeper = spawn(process.execPath, ['-e', KEEPER, '--', program, ...command.arguments], {
      env: { PATH, ...environment },
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(directory !== undefined && { cwd: directory }),
    });
    const hash = createHash('sha256');
    let lastWords = '';
    let why: CommandOutcome['why'] = 'ended';
    const stop = (reason: CommandOutcome['why']) => {
      why = reason;
      keeper.stdin.end();
    };
    const interrupted = () => {
      stop('interrupted');
    };
    const deadline = setTimeout(() => {
      stop('timed out');
    }, timeoutMs);
    const beat = setInterval(() => {
      if (keeper.stdin.writable) keeper.stdin.write('.');
    }, BEAT_MS);
    signal.addEventListener('abort', interrupted);
    if (signal.aborted) interrupted();
    // It may be gone before its stdin is closed.
    keeper.stdin.on('error', () => undefined);
    for (const stream of [keeper.stdout, keeper.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        hash.update(chunk);
        lastWords = `${lastWords}${chunk.toString('utf8')}`.slice(-MOST_LAST_WORDS);
      });
    }
    const done = () => {
      clearTimeout(deadline);
      clearInterval(beat);
      signal.removeEventListener('abort', interrupted);
    };
    keeper.on('error', (error) => {
      done();
      reject(error);
    });
    keeper.on('close', (code, killedBy) => {
      done();
      // Not by us: it gave us up, and killed what it kept.
      if (why === 'ended' && killedBy !== null) why = 'interrupted';
      const exitCode = why === 'ended' ? code : null;
      resolve({ exitCode, why, lastWords, outputDigest: hash.digest('base64url') });
    });
  });
}
