import { isAtbError } from '../domain/error';

/**
 * Runs a process of ours to its end, which it reaches when its work has ended. One that cannot start, or fails, ends at
 * once with exit code 1, whatever it has opened: a process that does nothing must not look alive to what would start it again.
 */
export function runProcess(name: string, main: () => Promise<void>): void {
  main().then(
    // What a library still tries, such as to hand over spans, does not hold it.
    () => process.stderr.write('', () => process.exit()),
    (error: unknown) => {
      const words = isAtbError(error) ? error.message : inFull(error);
      process.stderr.write(`${name}: ${words}\n`, () => process.exit(1));
    },
  );
}

/** What Temporal's native part throws may have a stack without a word in it. */
function inFull(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { stack = '', message } = error;
  return stack.includes(message) ? stack : `${error.name}: ${message}\n${stack}`;
}
