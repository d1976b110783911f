import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

import { AtbError } from '../../domain/error';

export interface ServerProcessOptions {
  /** What people call it, in messages. */
  readonly title: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Its output is appended here. */
  readonly logFile: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** The account it runs under, where not ours. */
  readonly account?: { readonly uid: number; readonly gid: number };
  /** The signal that asks it to end in good order. */
  readonly stopSignal: 'SIGTERM' | 'SIGINT';
  /** Answers when the server can be used, throws while it cannot. Asked again and again. */
  readonly isHealthy: () => Promise<void>;
  readonly healthyWithinMs: number;
}

export interface ServerProcess {
  readonly pid: number;
  /** Settles when the process has ended, whoever ended it. */
  readonly exited: Promise<void>;
  /** Asks it to end, and ends it after five seconds. Harmless when it has ended already. */
  stop(): Promise<void>;
}

const GRACE_MS = 5_000;
const POLL_MS = 50;

/**
 * Starts a server of another make beside us and waits until it is healthy. It is in a process group of its own, so
 * that Ctrl-C in the terminal reaches us alone and we end things in their order; and a small watcher ends it should
 * we die without saying so. Throws `configuration_invalid` with the log's last line when it does not come up.
 */
export async function startServerProcess(options: ServerProcessOptions): Promise<ServerProcess> {
  const log = await open(options.logFile, 'a', 0o600);
  const logStart = (await log.stat()).size;
  const child = spawn(options.command, options.args, {
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
    env: options.env ?? process.env,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...options.account,
  });
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => {
      resolve();
    });
    child.once('error', () => {
      resolve();
    });
  });
  try {
    await once(child, 'spawn');
  } catch (cause) {
    throw new AtbError(
      'configuration_invalid',
      `${options.title} cannot be started from ${options.command}`,
      {
        cause,
      },
    );
  } finally {
    await log.close();
  }
  const pid = child.pid ?? 0;
  const dismissWatcher = endWithUs(pid, options.stopSignal);
  void exited.then(dismissWatcher);

  const server: ServerProcess = {
    pid,
    exited,
    async stop() {
      child.kill(options.stopSignal);
      const late = setTimeout(() => child.kill('SIGKILL'), GRACE_MS);
      await exited;
      clearTimeout(late);
    },
  };
  try {
    await untilHealthy(options, exited);
  } catch (cause) {
    await server.stop();
    const lastWords = (await readFile(options.logFile))
      .subarray(logStart)
      .toString()
      .trim()
      .split('\n')
      .at(-1);
    throw new AtbError(
      'configuration_invalid',
      `${options.title} did not start${lastWords ? `: ${lastWords}` : ''} (log: ${options.logFile})`,
      { cause },
    );
  }
  return server;
}

async function untilHealthy(options: ServerProcessOptions, exited: Promise<void>): Promise<void> {
  const deadline = Date.now() + options.healthyWithinMs;
  const gone = exited.then(() => 'gone' as const);
  for (;;) {
    try {
      await options.isHealthy();
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
    if ((await Promise.race([gone, sleep(POLL_MS)])) === 'gone') throw new Error('the process ended');
  }
}

// Reads from a pipe that only we hold open: its end means that we are gone, however that happened.
const WATCHER = `
read -r _
kill -s "$2" "$1" 2>/dev/null || exit 0
for _ in 1 2 3 4 5; do
  sleep 1
  kill -0 "$1" 2>/dev/null || exit 0
done
kill -s KILL "$1"
`;

/** Ends the process when ours ends; returns what to call when it has ended by itself. POSIX only. */
function endWithUs(pid: number, signal: 'SIGTERM' | 'SIGINT'): () => void {
  if (process.platform === 'win32') return () => undefined;
  const watcher = spawn('sh', ['-c', WATCHER, 'watcher', String(pid), signal.slice('SIG'.length)], {
    detached: true,
    cwd: '/',
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  // Without a shell the server is still stopped by stop(); only a crash of ours would leave it behind.
  watcher.on('error', () => undefined);
  watcher.unref();
  const pipe = watcher.stdin as typeof watcher.stdin & { unref?: () => void };
  pipe.on('error', () => undefined);
  pipe.unref?.();
  return () => {
    watcher.kill('SIGKILL');
  };
}
