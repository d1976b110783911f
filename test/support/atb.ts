import { createProgram, run } from '../../apps/atb/program';
import type { Surroundings } from '../../apps/atb/output';

export interface AtbRun {
  readonly exit: number;
  readonly out: string;
  readonly err: string;
}

/**
 * One command line, as somebody would type it where no terminal is; `changes` is what is otherwise around them, and is
 * told what is written as it comes.
 */
export async function runAtb(argv: readonly string[], changes: Partial<Surroundings> = {}): Promise<AtbRun> {
  const said = { out: '', err: '' };
  const { ask } = changes;
  const surroundings: Surroundings = {
    environment: {},
    now: () => new Date(),
    input: () => Promise.resolve(''),
    onInterrupt: () => () => undefined,
    ...changes,
    // A question stands on the terminal as well.
    ask:
      ask &&
      ((question) => {
        said.err += question;
        return ask(question);
      }),
    out: (text) => {
      said.out += text;
      changes.out?.(text);
    },
    err: (text) => {
      said.err += text;
      changes.err?.(text);
    },
  };
  // The test's own: a command sets it.
  const before = process.exitCode;
  const exit = await run(createProgram(surroundings), argv, surroundings);
  process.exitCode = before;
  return { exit, ...said };
}

/** As runAtb, against the stack of that folder; with `answers` they sit at a terminal and give one after the other. */
export async function atbIn(
  stateDirectory: string,
  argv: readonly string[],
  answers?: readonly string[],
): Promise<AtbRun> {
  const left = [...(answers ?? [])];
  const ask = answers && (() => Promise.resolve(left.shift() ?? ''));
  return runAtb(argv, { environment: { ATB_STATE_DIR: stateDirectory }, ask });
}
