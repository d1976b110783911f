import type { SpiffeError } from './error';

export interface FileWatchOptions {
  /** How often the files are read again; 250 ms unless told, so that a change is seen within a second. */
  readonly pollMs?: number;
  /** Told of what cannot be used, once; what was read before is kept. */
  readonly onError?: (error: SpiffeError) => void;
}

const POLL_MS = 250;

/** Reads files, and reports what is wrong with them. */
export type Look = (report: (error: SpiffeError) => void) => Promise<void>;

/**
 * Looks again and again, one look after the other, until the function that it answers is called; what is still wrong
 * is not told again. Contents are compared, and nothing is asked of the file system's own notices: those are lost where
 * files are swapped by a link (Kubernetes), or come over a network.
 */
export function lookAgain(
  look: Look,
  { pollMs = POLL_MS, onError = () => undefined }: FileWatchOptions,
): () => void {
  let stopped = false;
  let timer: NodeJS.Timeout;
  let told = new Set<string>();
  const lookOnce = async () => {
    const wrong = new Set<string>();
    await look((error) => {
      if (!told.has(error.message)) onError(error);
      wrong.add(error.message);
    });
    told = wrong;
    if (!stopped) wait();
  };
  const wait = () => {
    timer = setTimeout(() => void lookOnce(), pollMs);
    timer.unref();
  };
  wait();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}

/** For the first look: what is wrong then is wrong with how the process was set up. */
export function orThrow(error: SpiffeError): never {
  throw error;
}
